import CFuse
import Filesystem
import Glibc
import Model
import Namespace

/// The unit that st_blksize recommends for reads and writes; cp(1) and cat(1) follow it.
private let preferredTransfer = 256 << 10

/// A duration in libfuse's unit.
func seconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1e9 }

extension FileKind {
    /// The S_IFMT part of st_mode.
    var modeBits: mode_t {
        switch self {
        case .file: S_IFREG
        case .directory: S_IFDIR
        case .symlink: S_IFLNK
        case .fifo: S_IFIFO
        case .socket: S_IFSOCK
        case .characterDevice: S_IFCHR
        case .blockDevice: S_IFBLK
        }
    }

    /// What mknod(2) can make; a missing type means a file.
    init?(nodeMode mode: mode_t) {
        switch mode & S_IFMT {
        case S_IFREG, 0: self = .file
        case S_IFIFO: self = .fifo
        case S_IFSOCK: self = .socket
        case S_IFCHR: self = .characterDevice
        case S_IFBLK: self = .blockDevice
        default: return nil
        }
    }
}

extension Attributes {
    /// As stat(2) shows them.
    var status: stat {
        var status = stat()
        status.st_ino = numericCast(inode.rawValue)
        status.st_mode = kind.modeBits | mode_t(mode & 0o7777)
        status.st_nlink = numericCast(links)
        status.st_uid = uid
        status.st_gid = gid
        status.st_rdev = dev_t(device)
        status.st_size = off_t(clamping: size)
        status.st_blocks = numericCast((allocated.addingReportingOverflow(511).overflow ? allocated : allocated + 511) / 512)
        status.st_blksize = numericCast(preferredTransfer)
        status.st_atim = SystemTime.pair(accessed)
        status.st_mtim = SystemTime.pair(modified)
        status.st_ctim = SystemTime.pair(changed)
        return status
    }
}

/// Timestamps and the system's pair of seconds and nanoseconds.
enum SystemTime {
    /// The fraction is never negative, also before 1970.
    static func pair(_ time: Timestamp) -> timespec {
        let second: Timestamp = 1_000_000_000
        let (whole, fraction) = time.quotientAndRemainder(dividingBy: second)
        return timespec(tv_sec: Int(fraction < 0 ? whole - 1 : whole), tv_nsec: Int(fraction < 0 ? fraction + second : fraction))
    }

    /// Clamped to what 64 bits of nanoseconds hold, the years 1677 to 2262.
    static func timestamp(_ pair: timespec) -> Timestamp {
        let (whole, overflow) = Timestamp(pair.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return pair.tv_sec < 0 ? .min : .max }
        let (sum, carried) = whole.addingReportingOverflow(Timestamp(pair.tv_nsec))
        return carried ? .max : sum
    }
}

extension AttributeChange {
    /// What setattr asks for besides the size. The kernel sends its own time along with the flags that mean "now".
    init(_ new: stat, _ flags: Int32) {
        self.init()
        if flags & FUSE_SET_ATTR_MODE != 0 { mode = UInt16(new.st_mode & 0o7777) }
        if flags & FUSE_SET_ATTR_UID != 0 { uid = new.st_uid }
        if flags & FUSE_SET_ATTR_GID != 0 { gid = new.st_gid }
        if flags & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW) != 0 { accessed = SystemTime.timestamp(new.st_atim) }
        if flags & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) != 0 { modified = SystemTime.timestamp(new.st_mtim) }
        if flags & FUSE_SET_ATTR_CTIME != 0 { changed = SystemTime.timestamp(new.st_ctim) }
    }
}

extension OpenReply {
    func fileInfo() -> fuse_file_info {
        var file = fuse_file_info()
        file.fh = handle
        file.keep_cache = keepCache ? 1 : 0
        file.direct_io = direct ? 1 : 0
        return file
    }
}

extension FilesystemStatistics {
    /// As statvfs(3) shows them. Inodes are limited by room only: one for every 4 KiB that is free.
    var status: statvfs {
        var status = statvfs()
        let unit = UInt64(max(512, blockSize))
        status.f_bsize = numericCast(unit)
        status.f_frsize = numericCast(unit)
        status.f_blocks = numericCast(totalBytes / unit)
        status.f_bfree = numericCast(freeBytes / unit)
        status.f_bavail = numericCast(freeBytes / unit)
        let freeInodes = freeBytes / 4096
        let (allInodes, overflow) = inodes.addingReportingOverflow(freeInodes)
        status.f_files = numericCast(overflow ? UInt64.max : allInodes)
        status.f_ffree = numericCast(freeInodes)
        status.f_favail = numericCast(freeInodes)
        status.f_namemax = numericCast(Limits.nameBytes)
        return status
    }
}

extension XattrMode {
    /// setxattr(2)'s flags; nil where they contradict each other or are unknown.
    init?(flags: Int32) {
        switch flags {
        case 0: self = .any
        case 1: self = .create
        case 2: self = .replace
        default: return nil
        }
    }
}

extension RenameMode {
    /// renameat2(2)'s flags; nil for what is not supported.
    init?(flags: UInt32) {
        switch flags {
        case 0: self = .replace
        case 1: self = .noReplace
        case 2: self = .exchange
        default: return nil
        }
    }
}
