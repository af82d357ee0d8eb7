import Model
import Namespace
import Runtime

/// An inode that the kernel or a handle refers to, or that is cached.
///
/// What is cached (`stored` and below) was stored under a lease of the inode, and is dropped before the lease is given back; it is used
/// only
/// while `MetadataClient.holdsLease` says yes, because the whole session may have run out.
@LoopActor
final class CachedInode {
    let id: InodeID
    /// Lookups that the kernel has not forgotten; the table counts them.
    var lookups: UInt64 = 0
    /// Open handles, of files and directories.
    var opens = 0
    /// Commands under way that need the object.
    var pins = 0

    /// As the leader has them.
    var stored: Attributes?
    var content = StoredContent.unknown
    var directory: DirectoryCache?
    var symlinkTarget: [UInt8]?
    /// The name by which the kernel found it last: whoever reads it may read its neighbours next.
    var foundAs: (directory: InodeID, name: Name)?
    /// Values by name; nil value: there is no such attribute.
    var xattrs: [[UInt8]: [UInt8]?] = [:]
    var xattrNames: [[UInt8]]?

    /// Local changes; stays once it was needed.
    var dirty: DirtyFile?

    /// As it was when its last name went, if the kernel still refers to it: fifos, sockets, devices and what O_PATH opened are open without a word to us, and
    /// the leader knows the inode no more. Changes are made here and go with the object; of its extended attributes those are left that were
    /// cached.
    var removed: Attributes?

    /// Count of background failures; a handle reports those it has not seen.
    var errorCount: UInt64 = 0
    var lastError = Errno.io

    /// Handles through which advisory locks were taken.
    var lockHandles: Set<UInt64> = []

    /// Changes were given up, and nobody was told yet.
    var hasUntoldLoss = false

    /// Last change of what is cached, by the filesystem's stamp: an answer to a question asked before is not cached.
    var changedAt: UInt64 = 0
    /// Last time everything was dropped.
    var droppedAt: UInt64 = 0
    /// The newest version that a command of our own led to: an answer with an older one was overtaken by it.
    var acknowledged: UInt64 = 0
    /// Set while a recall is being answered: local changes wait.
    var recall: AsyncEvent?
    /// Changes of names on their way that touch it and that nobody waits for: `stored` is not up to date.
    var pendingChanges: Int32 = 0
    /// Commands under way that change its attributes: what is made in a directory meanwhile may depend on them.
    var commands: Int32 = 0
    /// Its own creation, as long as that is on its way: the leader does not know it, and what is cached is right all the same.
    var creation: PendingNameChange?
    /// Questions that wait until there is none: no further one begins.
    var settleWaiters: Int32 = 0
    /// Of a directory in which names were changed.
    var delegation: NameDelegation?
    /// Names were changed in a directory within, so that its exclusive lease was asked for.
    var delegatesWithin = false
    /// The leader was told that it is open here, so it must be told when it is not.
    var mustReport = false

    /// `stored.version` up to which the kernel's pages are right; nil: it has none or wrong ones.
    var pagesVersion: UInt64?
    /// What the kernel goes by to tell whether its pages are right, since its attributes were taken back.
    var kernelPages: Attributes?
    /// Whether the kernel was given attributes or pages since the last invalidation.
    var kernelMayHold = false
    /// Likewise names of the directory, present or absent.
    var kernelMayHoldNames = false
    /// Whether the kernel may hold pages that a mapping shows.
    var kernelMayHoldPages = false
    /// Reads and writes of the kernel under way: it may hold pages for them.
    var transfers: Int32 = 0
    /// The kernel's pages are to be dropped after the last of those.
    var kernelPagesAreOld = false

    // Neighbours in the table's lists.
    unowned var newer: CachedInode?
    unowned var older: CachedInode?
    /// What the table counts for this inode.
    var countedItems = 0

    init(id: InodeID, stamp: UInt64) {
        self.id = id
        droppedAt = stamp
    }

    var isDirty: Bool { dirty?.isDirty ?? false }
    /// Bytes written and not yet committed.
    var uncommittedBytes: Int { dirty.map { $0.pending.written + ($0.committing?.written ?? 0) } ?? 0 }
    var isReferenced: Bool { lookups > 0 || opens > 0 || pins > 0 || creation != nil }
    var items: Int { (directory?.count ?? 0) + content.count + xattrs.count }

    /// Attributes with the local changes, over `base`.
    func effective(_ base: Attributes) -> Attributes {
        guard let dirty else { return base }
        var result = base
        if let layer = dirty.committing { Self.overlay(layer, &result) }
        if !dirty.pending.isEmpty { Self.overlay(dirty.pending, &result) }
        return result
    }

    private static func overlay(_ layer: Layer, _ attributes: inout Attributes) {
        attributes = layer.attributes.applied(to: attributes)
        guard let size = layer.size else { return }
        attributes.size = size
        // An estimate until the commit: bytes that were overwritten count twice, but never past the size.
        attributes.allocated = min(min(attributes.allocated, layer.cut) + UInt64(layer.written), size)
    }

    /// Forgets names of the directory, but not those that changes under way are about: the leader would say what they were before.
    func forgetNames(but kept: some Sequence<Name>, stamp: UInt64) {
        directory?.keep(Array(kept) + (delegation?.pending.keys.map { $0 } ?? []))
        changedAt = stamp
        delegation?.doubtedAt = stamp
    }

    /// Drops what may be wrong without a lease. Local changes stay.
    func dropCaches(stamp: UInt64) {
        stored = nil
        content = .unknown
        directory = nil
        symlinkTarget = nil
        xattrs = [:]
        xattrNames = nil
        changedAt = stamp
        droppedAt = stamp
        delegation?.doubtedAt = stamp
    }
}
