import Model
import Namespace
import Runtime

/// An open directory: a cursor over its names in the order of their bytes, so that no name comes twice and none that stays is missed.
///
/// Positions: 1 after ".", 2 after "..", then one more with each entry. Pages behind the last two are forgotten but for their borders.
@LoopActor
final class DirectoryHandle {
    struct Page {
        /// Position of the first entry.
        var first: UInt64
        /// The name before it, nil at the start.
        var after: Name?
        var entries: [DirectoryEntry]
        /// Children on which a lease came with the page.
        var leased: Set<InodeID>
        /// The stamp when it was asked for.
        var mark: UInt64
        /// Nothing comes after this page.
        var isLast: Bool
        /// What it was asked to tell of the entries' inodes.
        var detail: ListDetail
        /// The file that is shown without attributes to see whether anybody asks for them.
        var probe: Name?
        /// The stamp when the first page was asked for, if this one and all before it went into the directory's cache.
        var fedSince: UInt64?

        /// Position behind the last entry.
        var end: UInt64 { first + UInt64(entries.count) }
    }

    let inode: CachedInode
    /// The last pages read, in order, two at most.
    var pages: [Page] = []
    /// First position of each page read, and the name before it.
    var borders: [(first: UInt64, after: Name?)] = []
    /// When the kernel was last sent names that it may keep, until it asks for the next.
    var answeredAt: UInt64?

    init(inode: CachedInode) { self.inode = inode }

    func restart() {
        pages = []
        borders = [(first: 2, after: nil)]
    }
}
