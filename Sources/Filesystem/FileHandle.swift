import Digest
import Glibc
import Model
import Namespace
import Runtime

/// An open file.
@LoopActor
final class FileHandle {
    let inode: CachedInode
    /// As it was opened.
    let flags: Int32
    /// As the next write brings them: fcntl(2) changes O_APPEND, pwritev2(2) adds O_DSYNC for once.
    var writeFlags: Int32
    /// `CachedInode.errorCount` that this handle has reported or that was there before it.
    var seenErrors: UInt64
    /// The file had set-id bits or extended attributes at the last write through the handle.
    var mayHavePrivileges = false
    /// Where a sequential reader would read next.
    var nextRead: UInt64 = 0
    /// Bytes to read ahead; 0: not a sequential reader.
    var window = 0
    /// Blocks that a sequential reader has left behind lately, the oldest first: see `leaveBehind`.
    var leftBehind: [BlockKey] = []
    /// Up to where blocks were asked for ahead.
    var prefetched: UInt64 = 0

    /// Who took advisory locks through it and has not closed the file since.
    var lockOwners: Set<LockOwner> = []
    /// The session was lost while the mount held locks of the file: see `DistributedFilesystem.loseLocks`.
    var hasLostLocks = false

    init(inode: CachedInode, flags: Int32) {
        self.inode = inode
        self.flags = flags
        writeFlags = flags
        seenErrors = inode.errorCount
    }

    /// Throws EIO if the handle's user may rely on a lock that is gone. To be looked at again after every suspension.
    func checkLocks() throws(Errno) {
        #if CANARIES
            if Canary.usesLostLocks.isActive { return }
        #endif
        if hasLostLocks { throw .io }
    }

    var appends: Bool { writeFlags & O_APPEND != 0 }
    /// O_SYNC contains O_DSYNC's bit on Linux.
    var isSynchronous: Bool { flags & O_DSYNC != 0 }
}
