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
    /// New objects since the last `trim`.
    private var added = 0
    /// When an inode was last put out: a new object of the same id does not know what happened to the old one.
    private(set) var evictedAt: UInt64 = 0

    var count: Int { inodes.count }
    var all: [CachedInode] { Array(inodes.values) }

    func existing(_ id: InodeID) -> CachedInode? { inodes[id] }

    /// The inode's object, made if there is none; now the last one used.
    func obtain(_ id: InodeID) -> CachedInode {
        if let inode = inodes[id] {
            moveToNewest(inode)
            return inode
        }
        let inode = CachedInode(id: id, stamp: evictedAt)
        inodes[id] = inode
        added += 1
        pushNewest(inode)
        return inode
    }

    /// Notes a use. Of an object that was put out meanwhile it is none.
    func touch(_ inode: CachedInode) {
        if inodes[inode.id] === inode { moveToNewest(inode) }
    }

    private func moveToNewest(_ inode: CachedInode) {
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

    /// Looks at the inodes that were not used for longest: takes out those that nothing refers to, until there are `idleMax` objects or fewer; takes the
    /// contents of others away until at most `itemsMax` are held. Each is looked at in turn, since what the kernel answers by itself is no use
    /// that is seen here; and more than were added since the last call, so that what is too much gets less.
    /// - Returns: the ids whose leases go back, and those that nobody but the kernel refers to.
    func trim(idleMax: Int, itemsMax: Int, stamp: UInt64) -> (released: [InodeID], held: [InodeID]) {
        var released: [InodeID] = []
        var held: [InodeID] = []
        var visits = min((items > itemsMax ? 16 : 2) + 2 * added, inodes.count)
        added = 0
        while visits > 0, let inode = oldest, inodes.count > idleMax || items > itemsMax {
            visits -= 1
            moveToNewest(inode)
            guard !inode.isDirty, inode.recall == nil else { continue }
            guard inode.isReferenced else {
                remove(inode, stamp: stamp)
                released.append(inode.id)
                continue
            }
            if items > itemsMax, inode.items > 0 {
                inode.content = .unknown
                inode.xattrs = [:]
                inode.xattrNames = nil
                inode.forgetNames(but: [], stamp: stamp)
                if inode.directory?.count == 0 { inode.directory = nil }
                recount(inode)
            }
            if inode.opens == 0, inode.pins == 0 { held.append(inode.id) }
        }
        return (released, held)
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
