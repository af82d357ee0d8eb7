import Model
import Runtime

/// The inodes of a mount: those that the kernel knows, and the others, each in order of their last use.
@LoopActor
final class InodeTable {
    private var inodes: [InodeID: CachedInode] = [:]
    private var known = InodeList()
    private var idle = InodeList()
    /// Cached names, extents and extended attributes in all.
    private(set) var items = 0
    /// New objects since the last `trim`.
    private var added = 0
    /// When an inode was last put out: a new object of the same id does not know what happened to the old one.
    private(set) var evictedAt: UInt64 = 0

    var count: Int { inodes.count }
    /// Those that the kernel knows.
    var knownCount: Int { known.count }
    var idleCount: Int { idle.count }
    var all: [CachedInode] { Array(inodes.values) }

    func existing(_ id: InodeID) -> CachedInode? { inodes[id] }

    /// The inode's object, made if there is none; now the last one used.
    func obtain(_ id: InodeID) -> CachedInode {
        if let inode = inodes[id] {
            update(inode) { $0.moveToNewest(inode) }
            return inode
        }
        let inode = CachedInode(id: id, stamp: evictedAt)
        inodes[id] = inode
        added += 1
        idle.push(inode)
        return inode
    }

    /// Notes a use. Of an object that was put out meanwhile it is none.
    func touch(_ inode: CachedInode) {
        if inodes[inode.id] === inode { update(inode) { $0.moveToNewest(inode) } }
    }

    /// The kernel has looked the inode up once more.
    /// - Precondition: the object is in the table.
    func retain(_ inode: CachedInode) {
        if inode.lookups == 0 {
            idle.remove(inode)
            known.push(inode)
        }
        inode.lookups += 1
    }

    /// The kernel forgets `count` lookups of an inode in the table.
    /// - Returns: whether these were the last.
    func forget(_ inode: CachedInode, count: UInt64) -> Bool {
        guard inode.lookups > 0 else { return false }
        inode.lookups -= min(count, inode.lookups)
        guard inode.lookups == 0 else { return false }
        known.remove(inode)
        idle.push(inode)
        return true
    }

    /// Changes the list that the inode is in.
    private func update(_ inode: CachedInode, _ change: (inout InodeList) -> Void) {
        if inode.lookups > 0 { change(&known) } else { change(&idle) }
    }

    /// Counts again what the inode holds.
    func recount(_ inode: CachedInode) {
        guard inodes[inode.id] === inode else { return }
        let items = inode.items
        self.items += items - inode.countedItems
        inode.countedItems = items
    }

    /// Looks at the inodes that were not used for longest: takes out those that nothing refers to, until there are `idleMax` objects or fewer that the
    /// kernel does not know; takes the contents of others away until at most `itemsMax` are held. Each is looked at in turn, since what the kernel answers by
    /// itself is no use that is seen here; and more than were added since the last call, so that what is too much gets less.
    /// - Returns: the ids whose leases go back, and, where the kernel knows more than `knownMax`, some that nobody but the kernel refers to.
    func trim(idleMax: Int, knownMax: Int, itemsMax: Int, stamp: UInt64) -> (released: [InodeID], held: [InodeID]) {
        var released: [InodeID] = []
        var held: [InodeID] = []
        let visits = min((items > itemsMax ? 16 : 2) + 2 * added, inodes.count)
        added = 0
        for _ in 0..<visits {
            let isFull = items > itemsMax
            guard idle.count > idleMax || known.count > knownMax || isFull else { break }
            if idle.count > idleMax || isFull, let inode = idle.oldest {
                idle.moveToNewest(inode)
                if mayShrink(inode) {
                    if !inode.isReferenced {
                        remove(inode, stamp: stamp)
                        released.append(inode.id)
                    } else if isFull {
                        takeContents(of: inode, stamp: stamp)
                    }
                }
            }
            if known.count > knownMax || isFull, let inode = known.oldest {
                known.moveToNewest(inode)
                guard mayShrink(inode) else { continue }
                if isFull { takeContents(of: inode, stamp: stamp) }
                if inode.opens == 0, inode.pins == 0 { held.append(inode.id) }
            }
        }
        return (released, held)
    }

    private func mayShrink(_ inode: CachedInode) -> Bool { !inode.isDirty && inode.recall == nil }

    private func takeContents(of inode: CachedInode, stamp: UInt64) {
        guard inode.items > 0 else { return }
        inode.content = .unknown
        inode.xattrs = [:]
        inode.xattrNames = nil
        inode.forgetNames(but: [], stamp: stamp)
        if inode.directory?.count == 0 { inode.directory = nil }
        recount(inode)
    }

    /// Forgets an inode altogether.
    func remove(_ inode: CachedInode, stamp: UInt64) {
        guard inodes[inode.id] === inode else { return }
        items -= inode.countedItems
        inode.countedItems = 0
        inodes[inode.id] = nil
        update(inode) { $0.remove(inode) }
        evictedAt = stamp
    }
}
