import Digest
import Glibc
import Runtime

/// An open file.
@LoopActor
final class FileHandle {
    let inode: CachedInode
    var flags: Int32
    /// `CachedInode.errorCount` that this handle has reported or that was there before it.
    var seenErrors: UInt64
    /// Where a sequential reader would read next.
    var nextRead: UInt64 = 0
    /// Bytes to read ahead; 0: not a sequential reader.
    var window = 0
    /// Up to where blocks were asked for ahead.
    /// Blocks that a sequential reader has left behind lately, the oldest first: see `leaveBehind`.
    var leftBehind: [BlockKey] = []
    var prefetched: UInt64 = 0

    init(inode: CachedInode, flags: Int32) {
        self.inode = inode
        self.flags = flags
        seenErrors = inode.errorCount
    }

    var appends: Bool { flags & O_APPEND != 0 }
    /// O_SYNC contains O_DSYNC's bit on Linux.
    var isSynchronous: Bool { flags & O_DSYNC != 0 }
}
