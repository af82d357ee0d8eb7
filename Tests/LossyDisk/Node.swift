import CFuse
import Glibc

/// An inode.
///
/// Mode, owner and times are durable at once: nothing that is tested depends on when they are.
final class Node {
    enum Kind {
        case file, directory, symlink, special
    }

    let number: UInt64
    let kind: Kind
    /// Type and permissions, as in st_mode.
    var mode: mode_t
    var owner: uid_t
    var group: gid_t
    var device: dev_t = 0
    var accessed = timespec()
    var modified = timespec()
    var changed = timespec()

    var content = Content()
    /// Of a symlink.
    var target = ""
    /// Entries of a directory as its users see them, and as they are on the disk.
    var entries: [String: UInt64] = [:]
    var durableEntries: [String: UInt64] = [:]
    /// Of a directory: the one it is in.
    var parent: UInt64 = 0

    /// Names that lead here, for users and on the disk, and changes that wait for a sync.
    var links = 0
    var durableLinks = 0
    var waitingChanges = 0
    var opened = 0
    /// Counted among the used pages: users can still reach it.
    var takesRoom = true

    init(_ number: UInt64, _ kind: Kind, mode: mode_t, owner: uid_t, group: gid_t) {
        self.number = number
        self.kind = kind
        self.mode = mode
        self.owner = owner
        self.group = group
        touch()
        accessed = modified
    }

    /// Content or entries changed now.
    func touch() {
        clock_gettime(CLOCK_REALTIME, &modified)
        changed = modified
    }

    var status: stat {
        var status = stat()
        status.st_ino = ino_t(number)
        status.st_mode = mode
        let subdirectories = kind == .directory ? 1 : 0
        status.st_nlink = nlink_t(max(0, links + subdirectories))
        status.st_uid = owner
        status.st_gid = group
        status.st_rdev = device
        status.st_size = off_t(kind == .symlink ? target.utf8.count : content.size)
        status.st_blocks = blkcnt_t(content.used * Page.size / 512)
        status.st_blksize = blksize_t(Page.size)
        status.st_atim = accessed
        status.st_mtim = modified
        status.st_ctim = changed
        return status
    }
}
