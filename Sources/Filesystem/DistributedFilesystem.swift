package import Blocks
import Bytes
package import Metadata
package import Model
import Namespace
package import Runtime
package import Telemetry

/// Files of the cluster as users see them: caches under leases, write-behind under exclusive leases, POSIX rules.
///
/// ## What is cached, and when it is right
/// Everything known of an inode is used only while `metadata.holdsLease` says so, and is dropped when the lease is recalled. An answer is
/// cached only
/// if a lease came with it and nothing happened to the inode since the question left (`mark`, `CachedInode.changedAt`). Without a lease an
/// answer
/// is used once. Blocks are cached by key, and a key's content never changes.
///
/// ## Local changes
/// Under an exclusive lease, changes of content, size, mode, owner and times go into the inode's `DirtyFile`: the newest layer takes
/// writes; a commit
/// freezes it, puts its bytes as blocks and sends one update. Reads look through pending layer, layer under way and stored content, in
/// this order.
/// If a commit fails, its layer goes back under the newer one; nothing is dropped before a handle has reported the error. Changes
/// whose error was reported are given up at the last close; those of files nobody has open are tried again until `syncAll` or room comes
/// back.
///
/// ## Waiting
/// Every step between two suspensions is atomic, because everything runs on the loop. What waits for what:
/// 1. `commitLock` of an inode is held over its puts and its update, and over questions about the same inode that the leader answers at
///    once because
///    this session holds the exclusive lease. It is never held while a lease is acquired, while room for dirty data is awaited, or while
///    another
///    inode's lock is taken. So a commit always ends.
/// 2. A recall waits only for commits of its inode, and local changes of the inode wait for the recall (`CachedInode.recall`), holding
///    nothing.
/// 3. Whoever acquires an exclusive lease or asks the leader holds nothing, since the answer may wait for a recall of ours.
/// 4. Writers waiting for room hold nothing and are woken by commits.
/// 5. The kernel is told to drop pages only while it holds none for a request, which may wait for the leader.
@LoopActor
package final class DistributedFilesystem: FileOperations {
    let metadata: any MetadataClient
    let blocks: any BlockClient
    let clock: any Clock
    private(set) var options: FilesystemOptions
    let log: Log
    /// Bytes of content the cluster can hold and still take, by the ring.
    let capacity: @LoopActor () async -> (total: UInt64, available: UInt64)

    package weak var kernelCache: (any KernelCache)?

    let table = InodeTable()
    let meter = DirtyMeter()
    let blockCache: BlockCache
    let putSlots: Slots
    let commitSlots: Slots
    var handles: [UInt64: FileHandle] = [:]
    var directories: [UInt64: DirectoryHandle] = [:]
    private var lastHandle: UInt64 = 0
    /// Of pages of directories that are read ahead: happens when they are here, or will not come.
    var listingsUnderWay: [InodeID: AsyncEvent] = [:]
    /// What the kernel wished with pages of directories that were not the first: likely the next ones too.
    var laterDetail = ListDetail.nothing
    /// Inodes with open handles.
    var openInodes = 0

    /// Inodes with changes to commit.
    var dirtyInodes: [InodeID: CachedInode] = [:]
    var flushTimer: (any TimerHandle)?
    /// Writers waiting for room, first come first served.
    var roomWaiters: [(count: Int, continuation: UnsafeContinuation<Errno?, Never>)] = []
    /// When a put last failed for want of room; nil since one succeeded.
    var spaceFailedAt: UInt64?

    /// Changes of names on their way that nobody waits for, oldest first.
    var pendingChanges: [PendingNameChange] = []
    /// For what is made without waiting.
    var inodeNumbers = InodeNumbers()
    /// Some of those were lost, and nobody was told yet.
    var hasLostNames = false

    /// Changes of some inode were given up since the mount began: see `CachedInode.hasUntoldLoss`.
    var hasLostChanges = false

    /// Files whose background commit is queued or under way.
    var commitsQueued: Set<InodeID> = []
    private var stamp: UInt64 = 0
    private var isTrimming = false
    /// Inodes that the kernel is to forget, as many as one request takes; one request at a time.
    private static let prunedAtOnce = 512
    private var prunable: [InodeID] = []
    private var isPruning = false

    /// - Parameter capacity: total and available bytes of content in the cluster, replication taken into account.
    package init(
        metadata: any MetadataClient, blocks: any BlockClient, environment: Environment, options: FilesystemOptions = FilesystemOptions(),
        log: Log, capacity: @escaping @LoopActor () async -> (total: UInt64, available: UInt64)
    ) {
        precondition(options.blockSize >= 4096 && options.blockSize.nonzeroBitCount == 1 && options.blockSize <= Limits.blockBytes)
        self.metadata = metadata
        self.blocks = blocks
        clock = environment.clock
        self.options = options
        self.log = log
        self.capacity = capacity
        blockCache = BlockCache(blocks: blocks, meter: meter, bytesMax: options.cacheBytes)
        putSlots = Slots(count: options.putsInFlight)
        commitSlots = Slots(count: options.commitsInFlight)
        metadata.onRecall = { [weak self] recall in await self?.answer(recall) ?? RecallAnswer(stillOpen: false) }
        metadata.onOutdated = { [weak self] inodes in
            guard let self else { return }
            for inode in inodes.compactMap({ table.existing($0) }) {
                dropCaches(of: inode)
                invalidateKernelSoon(inode)
                // Whoever was told that a removal failed does not know that the leader keeps the file.
                if inode.opens > 0 { inode.mustReport = true }
            }
        }
        metadata.onSessionLost = { [weak self] in self?.sessionLost() }
    }

    /// From now on the kernel may use names and attributes without asking for so many nanoseconds, if the lease is good for as long. Only where
    /// `kernelCache` can take them back at any time: see `FilesystemOptions.kernelEntryValidity`.
    package func letKernelCache(entries: UInt64, attributes: UInt64) {
        options.kernelEntryValidity = entries
        options.kernelAttributeValidity = attributes
    }

    // MARK: Stamps

    /// The present, to tell later whether an inode changed since.
    var mark: UInt64 { stamp }

    func nextStamp() -> UInt64 {
        stamp += 1
        return stamp
    }

    /// Answers to questions that are under way will not be cached.
    func noteChange(_ inode: CachedInode) { inode.changedAt = nextStamp() }

    /// Drops what is cached of an inode; answers to questions that are under way will not be cached. Local changes stay.
    func dropCaches(of inode: CachedInode) {
        inode.dropCaches(stamp: nextStamp())
        table.recount(inode)
    }

    // MARK: The leader

    /// Asks once the leader knows what it is asked about.
    func query(_ query: Query, on inode: CachedInode) async throws(Errno) -> QueryReply {
        await known(inode)
        do { return try await metadata.query(query) } catch { throw Errno(error) }
    }

    func ask(_ query: Query, on inode: CachedInode) async throws(Errno) -> QueryReply {
        let reply = try await self.query(query, on: inode)
        if case .failed(let error) = reply.answer { throw Errno(error) }
        return reply
    }

    func perform(_ command: Command) async throws(Errno) -> Outcome {
        let outcome: Outcome
        do { outcome = try await metadata.perform(command) } catch { throw Errno(error) }
        if case .failed(let error) = outcome { throw Errno(error) }
        return outcome
    }

    /// Runs a command that changes one inode.
    func perform(_ command: Command, on inode: CachedInode) async throws(Errno) -> Outcome {
        inode.commands += 1
        defer { inode.commands -= 1 }
        do { return try await perform(command) } catch {
            // An error other than EIO says that nothing was changed.
            if error == .io { dropCaches(of: inode) }
            throw error
        }
    }

    /// An answer that does not fit the question.
    func nonsense(_ what: String) -> Errno {
        log.error("the metadata service answered \(what) with something else")
        return .io
    }

    // MARK: Attributes

    /// Cached attributes, if they may be used.
    func cachedAttributes(_ inode: CachedInode) -> Attributes? {
        guard let stored = inode.stored, metadata.holdsLease(inode.id) else { return nil }
        return inode.pendingChanges == 0 ? inode.effective(stored) : inode.delegation?.attributes
    }

    /// Takes in attributes from an answer to a question asked at `mark`.
    /// - Parameter keepsPages: old pages of the kernel stay for now: see `dropOldPages`.
    func learn(_ attributes: Attributes, leased: Bool, since mark: UInt64, keepsPages: Bool = false) {
        let inode = table.obtain(attributes.inode)
        guard attributes.version >= inode.acknowledged else { return }
        if !keepsPages { dropOldPages(inode, attributes) }
        guard leased, inode.droppedAt <= mark, inode.recall == nil, metadata.holdsLease(inode.id) else { return }
        if let stored = inode.stored, stored.version >= attributes.version { return }
        inode.stored = attributes
    }

    /// Has pages dropped of which the kernel cannot see by size and time of change that they are old.
    ///
    /// Not while the kernel waits for attributes to check permissions by: the notification would make it disregard the answer (`attr_version`,
    /// fs/fuse/inode.c) and decide by what it knew before. So such an answer has no validity, and whoever reads asks again, by `attributesForReader`.
    private func dropOldPages(_ inode: CachedInode, _ attributes: Attributes) {
        guard let known = inode.kernelPages else { return }
        inode.kernelPages = nil
        if known.version < attributes.version, known.size == attributes.size, known.modified == attributes.modified { kernelCache?.dropPages(inode.id) }
    }

    /// Takes in attributes after a command of our own, sent at `mark`.
    /// - Parameter isAwaited: false for a change of names that was noted in full when it began.
    func adopt(_ attributes: Attributes, since mark: UInt64, isAwaited: Bool = true) {
        guard let inode = table.existing(attributes.inode) else { return }
        let old = inode.stored
        if isAwaited {
            noteChange(inode)
            inode.delegation?.attributes = nil
        }
        inode.acknowledged = max(inode.acknowledged, attributes.version)
        if attributes.version < inode.acknowledged { return }
        if let old, old.version >= attributes.version { return }
        guard inode.droppedAt <= mark, metadata.holdsLease(inode.id) else {
            // What is cached is older than this change, and the lease may count again: a session that was late is renewed with all its leases.
            return dropCaches(of: inode)
        }
        if let old, inode.pagesVersion == old.version { inode.pagesVersion = attributes.version }
        inode.stored = attributes
    }

    func currentAttributes(_ inode: CachedInode, keepsPages: Bool = false) async throws(Errno) -> Attributes {
        inode.pins += 1
        defer { inode.pins -= 1 }
        while true {
            if let removed = inode.removed { return removed }
            if let cached = cachedAttributes(inode) { return cached }
            guard inode.pendingChanges == 0 else {
                await settle(inode)
                continue
            }
            let mark = mark
            let reply = try await ask(.attributes(inode.id), on: inode)
            guard case .attributes(let attributes) = reply.answer else { throw nonsense("a question for attributes") }
            learn(attributes, leased: reply.leased.contains(inode.id), since: mark, keepsPages: keepsPages)
            if attributes.version >= inode.acknowledged { return cachedAttributes(inode) ?? inode.effective(attributes) }
        }
    }

    package func attributes(_ id: InodeID) async throws(Errno) -> AttributesReply { try await attributes(id, forReader: false) }

    package func attributesForReader(_ id: InodeID) async throws(Errno) -> AttributesReply { try await attributes(id, forReader: true) }

    private func attributes(_ id: InodeID, forReader: Bool) async throws(Errno) -> AttributesReply {
        let inode = table.obtain(id)
        let attributes = try await currentAttributes(inode, keepsPages: !forReader)
        if forReader { dropOldPages(inode, attributes) }
        trim()
        return AttributesReply(attributes: attributes, validity: attributeValidity(inode, of: attributes))
    }

    /// How long the kernel may use attributes of an inode: as long as the lease, if they are those that are cached here. Others may be from before the
    /// present lease. Of a directory whose names are being changed they are known, of a file that is being moved they are not.
    func attributeValidity(_ inode: CachedInode, of attributes: Attributes) -> UInt64 {
        guard options.kernelAttributeValidity > 0, kernelCache != nil, inode.recall == nil, inode.kernelPages == nil, let stored = inode.stored,
            stored.version <= attributes.version, metadata.holdsLease(inode.id), inode.pendingChanges == 0 || attributes.kind == .directory
        else { return 0 }
        inode.kernelMayHold = true
        return min(options.kernelAttributeValidity, metadata.leaseRemaining)
    }

    /// How long the kernel may take a name of a directory for that of `child`: as long as the lease, if that is known under it. A page of a listing that
    /// was read under an earlier one does not count; `mark` tells when that was.
    func entryValidity(_ directory: CachedInode, _ name: Name, _ child: InodeID, since mark: UInt64? = nil) -> UInt64 {
        let isKnown = if case .present(child, _) = directory.directory?.entry(name) { true } else { mark.map { directory.changedAt <= $0 } ?? false }
        return isKnown ? namesValidity(directory) : 0
    }

    package func absenceValidity(_ parent: InodeID, _ name: [UInt8]) -> UInt64 {
        guard let name = Name(name), let directory = table.existing(parent), directory.directory?.entry(name) == .absent else { return 0 }
        return namesValidity(directory)
    }

    private func namesValidity(_ directory: CachedInode) -> UInt64 {
        guard options.kernelEntryValidity > 0, kernelCache != nil, directory.recall == nil, metadata.holdsLease(directory.id) else { return 0 }
        directory.kernelMayHoldNames = true
        return min(options.kernelEntryValidity, metadata.leaseRemaining)
    }

    // MARK: Handles

    func newHandle(_ inode: CachedInode) -> UInt64 {
        lastHandle += 1
        inode.removed = nil
        if inode.opens == 0 { openInodes += 1 }
        inode.opens += 1
        return lastHandle
    }

    func file(_ handle: UInt64, _ id: InodeID) throws(Errno) -> FileHandle {
        guard let file = handles[handle], file.inode.id == id else { throw .badDescriptor }
        try file.checkLocks()
        return file
    }

    /// One handle less. After the last, the leader is told if it keeps the inode for us.
    func closed(_ inode: CachedInode) {
        inode.opens -= 1
        guard inode.opens == 0 else { return }
        openInodes -= 1
        if let stored = inode.stored, stored.links == 0 { inode.mustReport = true }
        reportClosed(inode)
    }

    /// Tells the leader, if it wants to know, that an inode is not open here any more, and gives the lease back: after the last commit,
    /// since changes are only good under the lease, and since another session may have an unlinked file open; and after the kernel has
    /// forgotten what it was told under the lease, which would have nobody to take it back.
    func reportClosed(_ inode: CachedInode) {
        guard inode.mustReport, inode.opens == 0, inode.recall == nil, inode.pendingChanges == 0, inode.creation == nil else { return }
        guard !inode.isDirty else { return commitSoon(inode) }
        inode.mustReport = false
        dropCaches(of: inode)
        guard inode.kernelMayHold || inode.kernelMayHoldNames else { return metadata.release([inode.id]) }
        let event = AsyncEvent()
        inode.recall = event
        inode.pins += 1
        Task { @LoopActor [self] in
            await invalidateKernel(inode)
            inode.recall = nil
            inode.pins -= 1
            // A directory may have been opened meanwhile: then the leader hears of it later.
            if inode.opens == 0 { metadata.release([inode.id]) } else { inode.mustReport = true }
            event.happen()
        }
    }

    // MARK: Lookup counts and limits

    package func forget(_ id: InodeID, count: UInt64) {
        guard let inode = table.existing(id) else { return }
        guard table.forget(inode, count: count) else { return }
        inode.kernelMayHold = false
        inode.kernelMayHoldNames = false
        inode.kernelMayHoldPages = false
        trim()
    }

    package func retain(_ id: InodeID) { table.retain(table.obtain(id)) }

    /// The directory in which the kernel found an inode last, if it is in the table.
    func above(_ inode: CachedInode) -> CachedInode? { inode.foundAs.flatMap { table.existing($0.directory) } }

    /// Keeps the table within its limits.
    func trim() {
        guard !isTrimming, table.idleCount > options.idleInodes || table.knownCount > options.inodes || table.items > options.cachedItems else { return }
        isTrimming = true
        let (released, held) = table.trim(
            idleMax: options.idleInodes, knownMax: options.inodes, itemsMax: options.cachedItems, stamp: nextStamp())
        if !released.isEmpty { metadata.release(released) }
        isTrimming = false
        prune(held)
    }

    /// Has the kernel forget inodes that it has not used for long, if there are too many. It would keep them as long as the machine has memory.
    private func prune(_ held: [InodeID]) {
        guard table.knownCount > options.inodes, let kernelCache else {
            prunable = []
            return
        }
        guard !isPruning else { return }
        prunable += held
        guard prunable.count >= Self.prunedAtOnce else { return }
        let batch = prunable
        prunable = []
        isPruning = true
        Task { @LoopActor in
            await kernelCache.prune(batch)
            self.isPruning = false
        }
    }

    package func statistics() async throws(Errno) -> FilesystemStatistics {
        let reply: QueryReply
        do { reply = try await metadata.query(.statistics) } catch { throw Errno(error) }
        guard case .statistics(let inodes, let referenced, _) = reply.answer else { throw nonsense("a question for statistics") }
        let space = await capacity()
        let free = space.available - min(space.available, UInt64(meter.bytes))
        return FilesystemStatistics(
            blockSize: UInt32(options.blockSize), totalBytes: max(space.total, referenced), freeBytes: free, inodes: inodes)
    }
}

/// What a filesystem holds in memory.
package struct FilesystemMemory: Equatable, Sendable {
    /// Bytes of buffers with uncommitted data.
    package var dirty: Int
    /// Bytes of cached blocks.
    package var clean: Int
    package var inodes: Int
    /// As `FilesystemOptions.cachedItems` counts them.
    package var items: Int
}

extension DistributedFilesystem {
    /// For counters and for tests of the limits.
    package var memory: FilesystemMemory {
        FilesystemMemory(dirty: meter.bytes, clean: blockCache.bytes, inodes: table.count, items: table.items)
    }

    /// Drops every cached block that is clean, as `echo 3 > /proc/sys/vm/drop_caches` does for the kernel's.
    package func dropBlocks() { blockCache.removeAll() }
}
