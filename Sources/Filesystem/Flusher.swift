import Blocks
import Bytes
import Digest
import Metadata
package import Model
import Namespace
import Runtime
import Telemetry

/// Committing local changes: when, and what happens with errors.
extension DistributedFilesystem {
    /// Commits what was changed in an inode before the call. On failure the changes stay, unless they can never be committed.
    func commit(_ inode: CachedInode) async throws(Errno) {
        // Perhaps the file will be gone.
        await settle(inode)
        guard let dirty = inode.dirty, dirty.isDirty else { return }
        let target = dirty.changes
        inode.pins += 1
        await dirty.commitLock.lock()
        defer {
            dirty.commitLock.unlock()
            inode.pins -= 1
        }
        guard dirty.committed < target, !dirty.pending.isEmpty else { return }
        let changes = dirty.changes
        dirty.committing = dirty.pending
        dirty.pending = Layer()
        do throws(Errno) {
            try await carryOut(inode, dirty)
        } catch {
            failed(inode, dirty, error)
            throw error
        }
        dirty.committed = max(dirty.committed, changes)
        dirty.failures = 0
        dirty.retryAfter = 0
        dirty.since = clock.now
        if !dirty.isDirty {
            dirtyInodes[inode.id] = nil
            reportClosed(inode)
        }
        wakeWriters(nil)
    }

    private func failed(_ inode: CachedInode, _ dirty: DirtyFile, _ error: Errno) {
        // Given up meanwhile, by whoever had the reason to: a lost session has its error noted, a removed file needs none.
        guard dirty.committing != nil else { return wakeWriters(error) }
        if dirty.failures == 0 {
            inode.errorCount += 1
            log.error("cannot commit a file", ["inode": "\(inode.id)", "errno": "\(error.rawValue)"])
        }
        inode.lastError = error
        dirty.thaw()
        dirty.failures += 1
        dirty.retryAfter = clock.now + min(Nanoseconds.second << min(dirty.failures, 5), 30 * Nanoseconds.second)
        // Anything else will be refused again however often it is tried.
        if error != .noSpace, error != .io {
            log.error("changes of a file are lost", ["inode": "\(inode.id)", "errno": "\(error.rawValue)"])
            loseChanges(inode)
        }
        wakeWriters(error)
    }

    /// One update with everything of the frozen layer.
    private func carryOut(_ inode: CachedInode, _ dirty: DirtyFile) async throws(Errno) {
        var edits = try await contentEdits(inode, dirty)
        var republished: [BlockKey] = []
        var attempts = 0
        while true {
            guard let layer = dirty.committing else { throw .io }
            let mark = mark
            let outcome: Outcome
            do {
                outcome = try await metadata.perform(
                    .update(inode: inode.id, attributes: layer.attributes, edits: edits, republished: republished))
            } catch {
                throw Errno(error)
            }
            switch outcome {
            case .done(let attributes?, _):
                guard let layer = dirty.committing else { throw .io }
                dirty.committing = nil
                acknowledged(inode, layer, edits, attributes, since: mark)
                return
            case .failed(.collected(let keys)) where attempts < 4:
                try await republish(keys, dirty, of: inode)
                republished = Array(Set(republished + keys)).sorted()
            case .failed(.inlineContent) where attempts < 4:
                // Known content was wrong about how the leader keeps it: ask, and build the edits anew.
                inode.content = .unknown
                noteChange(inode)
                edits = try await contentEdits(inode, dirty)
            case .failed(let error):
                throw Errno(error)
            default:
                throw nonsense("an update")
            }
            attempts += 1
        }
    }

    /// The leader has the layer: it is stored content now, and its blocks are clean.
    private func acknowledged(_ inode: CachedInode, _ layer: Layer, _ edits: [Edit], _ attributes: Attributes, since mark: UInt64) {
        if inode.droppedAt <= mark, metadata.holdsLease(inode.id) {
            for edit in edits { inode.content.apply(edit) }
        } else {
            inode.content = .unknown
        }
        adopt(attributes, since: mark)
        table.recount(inode)
        guard attributes.size <= Self.largeFile else { return }
        for piece in layer.pieces.pieces {
            guard case .memory(let block) = piece.source, let place = block.place else { continue }
            blockCache.insert(place.key, place.pack ?? block.content)
        }
    }

    /// Stores blocks again that were deleted before the update referred to them.
    private func republish(_ keys: [BlockKey], _ dirty: DirtyFile, of inode: CachedInode) async throws(Errno) {
        let missing = Set(keys)
        for piece in dirty.committing?.pieces.pieces ?? [] {
            switch piece.source {
            case .memory(let block):
                guard let key = block.key, missing.contains(key) else { continue }
                block.putAgain()
                do { _ = try await block.put(through: blocks, slots: putSlots) } catch { throw Errno(error) }
            case .block(let key, let length, _):
                guard missing.contains(key) else { continue }
                do {
                    let content = try await blockCache.whole(key, length: Int(length))
                    _ = try await blocks.put(content)
                } catch {
                    log.error("a copied block is gone: \(error)", ["inode": "\(inode.id)", "block": "\(key)"])
                    throw Errno(error)
                }
            case .zero:
                continue
            }
        }
    }

    // MARK: In the background

    /// Commits without anybody waiting; an error is kept for whoever closes or syncs.
    func commitSoon(_ inode: CachedInode) {
        guard commitsQueued.insert(inode.id).inserted else { return }
        Task { @LoopActor [self] in
            await commitSlots.take()
            commitsQueued.remove(inode.id)
            try? await commit(inode)
            commitSlots.give()
        }
    }

    /// Looks after old changes from time to time while there are any.
    func scheduleFlush() {
        guard flushTimer == nil, !dirtyInodes.isEmpty else { return }
        flushTimer = clock.schedule(after: max(options.dirtyAge / 5, Nanoseconds.millisecond)) { [weak self] in
            guard let self else { return }
            flushTimer = nil
            let now = clock.now
            for inode in dirtyInodes.values {
                guard let dirty = inode.dirty, now - min(now, dirty.since) >= options.dirtyAge, now >= dirty.retryAfter else { continue }
                commitSoon(inode)
            }
            scheduleFlush()
        }
    }

    /// Starts commits of the files that have been dirty longest.
    func relievePressure() {
        guard commitsQueued.count < options.commitsInFlight else { return }
        let now = clock.now
        let oldest = dirtyInodes.values.filter { ($0.dirty?.pending.written ?? 0) > 0 && ($0.dirty?.retryAfter ?? 0) <= now }
            .sorted { ($0.dirty?.since ?? 0, $0.id) < ($1.dirty?.since ?? 0, $1.id) }
        for inode in oldest.prefix(options.commitsInFlight) { commitSoon(inode) }
        // Everything waits for its next attempt after a failure: there is no room to be had now.
        if oldest.isEmpty, commitsQueued.isEmpty, let failed = dirtyInodes.values.first(where: { ($0.dirty?.failures ?? 0) > 0 }) {
            let waiting = roomWaiters
            roomWaiters = []
            for waiter in waiting { waiter.continuation.resume(returning: failed.lastError) }
        }
    }

    /// Gives up local changes that somebody relies on. A handle that is open tells; if there is none, a rename of the file does.
    func loseChanges(_ inode: CachedInode) {
        guard inode.isDirty else { return }
        inode.hasUntoldLoss = true
        hasLostChanges = true
        dropChanges(inode)
        // It was told of sizes and times that will never be.
        invalidateKernelSoon(inode)
    }

    /// Gives up local changes.
    func dropChanges(_ inode: CachedInode) {
        guard let dirty = inode.dirty, dirty.isDirty else { return }
        dirty.drop()
        dirtyInodes[inode.id] = nil
        inode.pagesVersion = nil
        // A commit that failed may have been carried out.
        dropCaches(of: inode)
        wakeWriters(nil)
    }

    // MARK: sync(2), fsync(2), close(2)

    package func sync(_ id: InodeID, handle: UInt64, dataOnly: Bool) async throws(Errno) {
        try await sync(try file(handle, id))
    }

    func sync(_ file: FileHandle) async throws(Errno) {
        #if CANARIES
            if Canary.syncsTooEarly.isActive { return commitSoon(file.inode) }
        #endif
        do {
            try await commit(file.inode)
            try await settleNames()
        } catch {
            file.seenErrors = file.inode.errorCount
            file.inode.hasUntoldLoss = false
            throw error
        }
        try report(file)
    }

    /// Throws the error of a background commit that the handle has not reported yet.
    private func report(_ file: FileHandle) throws(Errno) {
        guard file.seenErrors != file.inode.errorCount else { return }
        file.seenErrors = file.inode.errorCount
        file.inode.hasUntoldLoss = false
        throw file.inode.lastError
    }

    package func flush(_ id: InodeID, handle: UInt64) async throws(Errno) { try report(try file(handle, id)) }

    /// Commands on names that somebody waited for were durable when they returned.
    package func syncDirectory(_ id: InodeID) async throws(Errno) {
        if let inode = table.existing(id) { try await commit(inode) }
        try await settleNames()
    }

    package func syncAll() async throws(Errno) {
        let inodes = dirtyInodes.values.sorted { $0.id < $1.id }
        let errors = await concurrently(inodes) { [self] inode in await failureOfCommit(inode) }.compactMap { $0 }
        try await settleNames()
        if let first = errors.first { throw first }
    }

    private func failureOfCommit(_ inode: CachedInode) async -> Errno? {
        await commitSlots.take()
        defer { commitSlots.give() }
        do {
            try await commit(inode)
            return nil
        } catch {
            return error
        }
    }
}
