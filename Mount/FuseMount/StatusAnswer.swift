import CFuse
import Glibc
import Namespace

/// The answer to FUSE_STATX, made of that to FUSE_GETATTR.
///
/// Layouts are those of linux/fuse.h, in the machine's byte order. `fuse_attr_out`: validity (16 bytes), then `fuse_attr` with ino, size, blocks, atime,
/// mtime, ctime (8 bytes each), their nanoseconds, mode, nlink, uid, gid, rdev, blksize, flags (4 each). `fuse_statx_out`: validity (16), 16 spare bytes,
/// then `fuse_statx`: see `make`.
enum StatusAnswer {
    static let attributesBytes = 104
    static let bytes = 288
    /// STATX_BASIC_STATS, and STATX_BTIME.
    private static let basic: UInt32 = 0x7FF
    private static let birth: UInt32 = 0x800
    private static let validityBytes = 16

    /// Writes `bytes` bytes to `answer`, from `attributesBytes` of `attributes`.
    static func make(_ answer: UnsafeMutableRawPointer, from attributes: UnsafeRawPointer, created: Timestamp) {
        memset(answer, 0, bytes)
        memcpy(answer, attributes, validityBytes)
        let source = attributes + validityBytes
        func word(_ offset: Int) -> UInt32 { source.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
        func long(_ offset: Int) -> UInt64 { source.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
        let target = answer + 32
        func put<Value: FixedWidthInteger>(_ value: Value, _ offset: Int) { target.storeBytes(of: value, toByteOffset: offset, as: Value.self) }
        // The root was made before there was a clock.
        put(created == 0 ? basic : basic | birth, 0)
        put(word(80), 4)  // blksize
        put(word(64), 16)  // nlink
        put(word(68), 20)  // uid
        put(word(72), 24)  // gid
        put(UInt16(truncatingIfNeeded: word(60)), 28)  // mode
        put(long(0), 32)  // ino
        put(long(8), 40)  // size
        put(long(16), 48)  // blocks
        func put(_ seconds: UInt64, _ nanoseconds: UInt32, at offset: Int) {
            put(seconds, offset)
            put(nanoseconds, offset + 8)
        }
        put(long(24), word(48), at: 64)  // atime
        let made = SystemTime.pair(created)
        put(UInt64(bitPattern: Int64(made.tv_sec)), UInt32(made.tv_nsec), at: 80)  // btime
        put(long(40), word(56), at: 96)  // ctime
        put(long(32), word(52), at: 112)  // mtime
        // As the kernel's new_encode_dev has them.
        let device = word(76)
        put((device & 0xF_FF00) >> 8, 128)  // major
        put(device & 0xFF | (device >> 12) & 0xF_FF00, 132)  // minor
    }
}
