import Bytes
import Consensus
import Model
import Namespace
import OrderedStore
import Runtime
import Telemetry
import Transport
import Wire

// Compaction of the log, and snapshots for servers that need entries which are gone.
extension MetadataServer {
    private func term(at index: LogIndex) -> Term { terms.last { $0.index <= index }?.term ?? 0 }

    private func configuration(at index: LogIndex) -> Configuration {
        configurations.last { $0.index <= index }?.configuration ?? Configuration(voters: [], learners: [])
    }

    /// What the state contains now.
    private var appliedMark: SnapshotMark {
        SnapshotMark(index: namespace.appliedIndex, term: namespace.appliedTerm, configuration: configuration(at: namespace.appliedIndex))
    }

    // MARK: Compaction

    func compactIfDue() {
        guard !isCompacting, storage.bytesSinceMark >= options.compactBytes || storage.entriesSinceMark >= options.compactEntries else { return }
        Task { @LoopActor in await self.compact() }
    }

    /// Makes the state durable and drops the part of the log that it contains, but for some entries for followers that lag a little.
    func compact() async {
        guard !isCompacting, !isInstalling, !hasFailed else { return }
        isCompacting = true
        defer { isCompacting = false }
        do throws(StoreError) {
            #if CANARIES
                if !Canary.compactsBeforeFlush.isActive { try store.flush() }
            #else
                try store.flush()
            #endif
        } catch {
            fail("the metadata state cannot be made durable: \(error.cause)", isOutOfSpace: error.code == .noSpace)
            return
        }
        let applied = namespace.appliedIndex
        let index = max(terms[0].index, applied > options.keptEntries ? applied - options.keptEntries : 0)
        let mark = SnapshotMark(index: index, term: term(at: index), configuration: configuration(at: index))
        do throws(MetadataServerError) { try await storage.compact(mark) } catch {
            fail(error.cause)
            return
        }
        restart(marksAt: mark)
        step(.compacted(mark))
    }

    /// Forgets what lies before a mark.
    private func restart(marksAt mark: SnapshotMark) {
        terms = [(mark.index, mark.term)] + terms.filter { $0.index > mark.index }
        configurations = [(mark.index, mark.configuration)] + configurations.filter { $0.index > mark.index }
    }

    // MARK: Sending

    func sendSnapshot(to node: NodeID) {
        let peer = peer(node)
        guard !peer.isReceivingSnapshot, let term = leadership?.term else { return }
        peer.isReceivingSnapshot = true
        let mark = appliedMark
        let reader = store.snapshot()
        log.info("sends a snapshot of the metadata", ["to": node.description, "index": "\(mark.index)"])
        Task { @LoopActor in
            let succeeded = await self.transfer(reader, mark, term, to: node)
            // A server that cannot be reached is not asked again in the same breath.
            if !succeeded { await self.environment.clock.sleep(nanoseconds: Nanoseconds.second) }
            peer.isReceivingSnapshot = false
            self.step(.snapshotSent(to: node, mark: mark, succeeded: succeeded))
        }
    }

    private func transfer(_ reader: any OrderedReader & Sendable, _ mark: SnapshotMark, _ term: Term, to node: NodeID) async -> Bool {
        let transfer = environment.random.next()
        var number: UInt64 = 0
        var lower: [UInt8] = []
        while leadership?.term == term {
            let start = lower
            let result = await environment.workers.run { RowPage.read(reader, from: start).map { (bytes: $0.encodedRows, next: $0.next) } }
            guard case .success(let page) = result else { return false }
            let chunk = SnapshotChunk(transfer: transfer, number: number, isLast: page.next == nil, term: term, mark: mark)
            do throws(TransportError) {
                let reply = try await requests.call(
                    node, .raftSnapshot, Transport.Message(body: chunk.encoded, payload: Slice(copying: page.bytes)),
                    timeout: 60 * Nanoseconds.second)
                // It has what the snapshot contains.
                if reply.body.first == 1 { return true }
            } catch {
                log.warning("a snapshot of the metadata did not arrive", ["to": node.description, "cause": error.cause])
                return false
            }
            guard let next = page.next else { return true }
            lower = next
            number += 1
        }
        return false
    }

    // MARK: Receiving

    /// Body: `SnapshotChunk`; payload: rows. The answer: one byte, 1 if the snapshot is not (or no longer) needed.
    func snapshotChunk(_ message: Transport.Message) async throws(TransportError) -> Transport.Message {
        let chunk = try decode(message) { reader throws(DecodeError) in try SnapshotChunk(from: &reader) }
        guard leadership == nil, !isInstalling, chunk.term >= term, raft.acceptsSnapshot else { throw TransportError(.unavailable, "no snapshot can be taken now") }
        if chunk.mark.index <= namespace.appliedIndex { return Transport.Message(body: [1]) }
        let batch: WriteBatch
        do throws(DecodeError) {
            guard let payload = message.payload else { throw .truncated }
            batch = try payload.withBytes { bytes throws(DecodeError) in try RowPage.batch(bytes) }
        } catch {
            throw Self.malformed(error)
        }
        do throws(StoreError) {
            if chunk.number == 0 {
                installation = nil
                let fresh = try await stores.makeFresh()
                installation = SnapshotInstallation(transfer: chunk.transfer, mark: chunk.mark, store: fresh, next: 0)
            }
            guard let current = installation, current.transfer == chunk.transfer, current.next == chunk.number, current.mark == chunk.mark else {
                throw StoreError(.failed, "a piece of a snapshot is out of order")
            }
            try current.store.write(batch)
            installation?.next = chunk.number + 1
            if chunk.isLast { try await install(current) }
        } catch {
            installation = nil
            throw TransportError(.unavailable, "a snapshot cannot be taken: \(error.cause)")
        }
        return Transport.Message(body: [chunk.isLast ? 1 : 0])
    }

    /// Puts a whole snapshot in place of the state. In this order a crash at any point leaves log and state that fit together.
    private func install(_ complete: SnapshotInstallation) async throws(StoreError) {
        isInstalling = true
        defer {
            isInstalling = false
            applyDurable()
            drainLanes()
        }
        installation = nil
        let mark = complete.mark
        let fresh = try Namespace(store: complete.store)
        guard fresh.appliedIndex == mark.index, fresh.appliedTerm == mark.term else {
            throw StoreError(.corrupt, "the snapshot is not the one that was announced")
        }
        try complete.store.flush()
        do throws(MetadataServerError) { try await storage.beginInstall(mark) } catch { throw StoreError(.failed, error.cause) }
        do throws(StoreError) { try await stores.adopt(complete.store) } catch {
            // Which of the two a restart will find is not known, so nothing more may be written to either.
            fail("a snapshot of the metadata could not be put in place: \(error.cause)")
            throw error
        }
        store = complete.store
        namespace = fresh
        do throws(MetadataServerError) { try await storage.compact(mark) } catch {
            fail(error.cause)
            throw StoreError(.failed, error.cause)
        }
        storage.skip(to: mark.index)
        unapplied.removeAll { $0.index <= mark.index }
        unappliedStart = 0
        committedIndex = max(committedIndex, mark.index)
        restart(marksAt: mark)
        step(.snapshotInstalled(mark))
        await stores.removeUnused()
        log.info("took a snapshot of the metadata", ["index": "\(mark.index)"])
        onRecordsChanged?([])
    }
}
