import Runtime

/// Inodes in order of their last use, linked through themselves.
@LoopActor
struct InodeList {
    private(set) var count = 0
    private var newest: CachedInode?
    private(set) var oldest: CachedInode?

    /// - Precondition: the inode is in no list.
    mutating func push(_ inode: CachedInode) {
        count += 1
        link(inode)
    }

    /// - Precondition: the inode is in this list, as for all below.
    mutating func remove(_ inode: CachedInode) {
        count -= 1
        unlink(inode)
    }

    mutating func moveToNewest(_ inode: CachedInode) {
        guard newest !== inode else { return }
        unlink(inode)
        link(inode)
    }

    private mutating func link(_ inode: CachedInode) {
        inode.older = newest
        inode.newer = nil
        newest?.newer = inode
        newest = inode
        if oldest == nil { oldest = inode }
    }

    private mutating func unlink(_ inode: CachedInode) {
        if newest === inode { newest = inode.older }
        if oldest === inode { oldest = inode.newer }
        inode.older?.newer = inode.newer
        inode.newer?.older = inode.older
        inode.newer = nil
        inode.older = nil
    }
}
