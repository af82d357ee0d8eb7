import Model
import Runtime

/// The inodes of a mount, in order of their last use.
@LoopActor
final class InodeTable {
    private var inodes: [InodeID: CachedInode] = [:]
    private var newest: CachedInode?
    private var oldest: CachedInode?
    /// Cached names, extents and extended attributes in all.
    private(set) var items = 0
    /// When an inode was last put out: a new object of the same id does not know what happened to the old one.
    private(set) var evictedAt: UInt64 = 0

    var count: Int { inodes.count }
    var all: [CachedInode] { Array(inodes.values) }

    func existing(_ id: InodeID) -> CachedInode? { inodes[id] }

    /// The inode's object, made if there is none; now the last one used.
    func obtain(_ id: InodeID) -> CachedInode {
        if let inode = inodes[id] {
            touch(inode)
            return inode
        }
        let inode = CachedInode(id: id, stamp: evictedAt)
        inodes[id] = inode
        pushNewest(inode)
        return inode
    }

    func touch(_ inode: CachedInode) {
        guard newest !== inode else { return }
        unlink(inode)
        pushNewest(inode)
    }

    /// Counts again what the inode holds.
    func recount(_ inode: CachedInode) {
        guard inodes[inode.id] === inode else { return }
        let items = inode.items
        self.items += items - inode.countedItems
        inode.countedItems = items
    }

    /// Takes out inodes that nothing refers to, the longest unused first, until there are `idleMax` objects or fewer; takes contents of others
    /// away until at most `itemsMax` are held. Returns the ids whose leases go back, `batch` of them at most.
    func trim(idleMax: Int, itemsMax: Int, stamp: UInt64, batch: Int) -> [InodeID] {
        var released: [InodeID] = []
        var candidate = oldest
        var visited = 0
        while let inode = candidate, released.count < batch, visited < batch * 4, inodes.count > idleMax || items > itemsMax {
            candidate = inode.newer
            visited += 1
            guard !inode.isDirty, inode.recall == nil else { continue }
            if !inode.isReferenced {
                remove(inode, stamp: stamp)
                released.append(inode.id)
            } else if items > itemsMax, inode.items > 0 {
                inode.content = .unknown
                inode.directory = nil
                inode.xattrs = [:]
                inode.xattrNames = nil
                inode.changedAt = stamp
                recount(inode)
            }
        }
        return released
    }

    /// Forgets an inode altogether.
    func remove(_ inode: CachedInode, stamp: UInt64) {
        guard inodes[inode.id] === inode else { return }
        items -= inode.countedItems
        inode.countedItems = 0
        inodes[inode.id] = nil
        unlink(inode)
        evictedAt = stamp
    }

    private func pushNewest(_ inode: CachedInode) {
        inode.older = newest
        inode.newer = nil
        newest?.newer = inode
        newest = inode
        if oldest == nil { oldest = inode }
    }

    private func unlink(_ inode: CachedInode) {
        if newest === inode { newest = inode.older }
        if oldest === inode { oldest = inode.newer }
        inode.older?.newer = inode.newer
        inode.newer?.older = inode.older
        inode.newer = nil
        inode.older = nil
    }
}
