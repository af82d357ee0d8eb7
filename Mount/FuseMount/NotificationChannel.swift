import Bytes
import CFuse
import Glibc
import Model

/// Writes notifications to the kernel's FUSE device. Closed when the last user is gone, so that no write can hit another file that got the
/// same number. Any thread.
final class NotificationChannel: Sendable {
    /// fuse_out_header (linux/fuse.h): a notification has a code instead of an error, and 0 as its request.
    private struct Header {
        var length: UInt32
        var code: Int32
        var unique: UInt64 = 0
    }

    /// fuse_notify_inval_inode_out after its header (linux/fuse.h).
    private struct InodeInvalidation {
        var header: Header
        var inode: UInt64
        var offset: Int64
        var length: Int64
    }

    /// FUSE_NOTIFY_INVAL_INODE.
    private static let invalidateInodeCode: Int32 = 2
    /// FUSE_NOTIFY_INC_EPOCH (include/uapi/linux/fuse.h of Linux 6.16, protocol 7.44); the headers of Debian 12 are older.
    private static let incrementEpochCode: Int32 = 8

    /// FUSE_NOTIFY_PRUNE (Linux 6.18, protocol 7.45): a fuse_notify_prune_out with the count, and so many inode numbers.
    private static let pruneCode: Int32 = 9

    private let descriptor: Int32

    /// Owns `descriptor`.
    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Has every cached entry of the mount looked up again before it is used. The kernel only counts up a number (fuse_notify_inc_epoch,
    /// fs/fuse/dev.c), so this never waits. Returns the system's error number, 0 if it worked.
    func incrementEpoch() -> Int32 { send(Header(length: UInt32(MemoryLayout<Header>.size), code: Self.incrementEpochCode)) }

    /// Drops cached attributes of an inode, and, if asked to, its pages. With pages it waits for reads of them that are under way; without (a negative
    /// offset; fuse_reverse_inval_inode, fs/fuse/inode.c) only while the kernel is just forgetting the inode. Returns the system's error number; ENOENT
    /// means that the kernel does not know the inode.
    func invalidate(_ inode: InodeID, pages: Bool) -> Int32 {
        send(
            InodeInvalidation(
                header: Header(length: UInt32(MemoryLayout<InodeInvalidation>.size), code: Self.invalidateInodeCode),
                inode: inode.rawValue, offset: pages ? 0 : -1, length: 0))
    }

    /// Has the kernel forget those of the inodes whose names nobody uses (d_prune_aliases, fs/dcache.c). It may write back pages of theirs that were
    /// changed through a mapping. Returns the system's error number, 0 if it took the list.
    func prune(_ inodes: [InodeID]) -> Int32 {
        let length = 32 + 8 * inodes.count
        var writer = ByteWriter(reserving: length)
        writer.integer(UInt32(length))
        writer.integer(Self.pruneCode)
        writer.integer(0 as UInt64)
        writer.integer(UInt32(inodes.count))
        writer.integer(0 as UInt32)
        writer.integer(0 as UInt64)
        for inode in inodes { writer.integer(inode.rawValue) }
        return writer.bytes.withUnsafeBytes { bytes in write(descriptor, bytes.baseAddress, bytes.count) == bytes.count ? 0 : errno }
    }

    private func send<Message: BitwiseCopyable>(_ message: Message) -> Int32 {
        withUnsafeBytes(of: message) { bytes in write(descriptor, bytes.baseAddress, bytes.count) == bytes.count ? 0 : errno }
    }
}
