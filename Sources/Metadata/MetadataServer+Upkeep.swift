import Bytes
import Digest
import Model
import Namespace
import OrderedStore
import Runtime
import Transport

// What the leader does on its own account: freeing orphans and collecting blocks; and scans.
extension MetadataServer {
    /// How many orphans and blocks are looked at in one round.
    private static let round = 1024
    private static let scansMax = 8
    private static let scanTimeToLive = 60 * Nanoseconds.second

    /// Starts a round of collection unless one is running.
    func collect() {
        scans = scans.filter { now - $0.value.lastUse < Self.scanTimeToLive }
        guard !isCollecting, leadership?.phase == .serving else { return }
        isCollecting = true
        Task { @LoopActor in
            do throws(TransportError) {
                try await self.reapOrphans()
                try await self.collectBlocks()
            } catch {
                // Leadership was lost; the next leader goes on.
            }
            self.isCollecting = false
        }
    }

    private func reapOrphans() async throws(TransportError) {
        #if CANARIES
            if Canary.leaksOrphans.isActive { return }
        #endif
        let orphans = try service { namespace throws(StoreError) in try namespace.orphans(limit: Self.round) }
        let free = orphans.filter { !table.mayBeOpen($0) }
        guard !free.isEmpty else { return }
        _ = try await propose(.reap(free))
    }

    private func collectBlocks() async throws(TransportError) {
        // What was being deleted when a leader fell comes first.
        var keys = try service { namespace throws(StoreError) in try namespace.collecting(limit: Self.round) }
        if keys.isEmpty {
            let time = environment.clock.wallTime
            let due = try service { namespace throws(StoreError) in try namespace.dueForCollection(before: time, limit: Self.round) }
            guard !due.isEmpty else { return }
            _ = try await propose(.collect(due))
            // Only those that nobody began to refer to again meanwhile.
            keys = try service { namespace throws(StoreError) in try namespace.collecting(limit: Self.round) }
        }
        guard !keys.isEmpty, await deleteBlocks(keys) else { return }
        _ = try await propose(.collected(keys))
    }

    private func service<Value>(_ body: (Namespace) throws(StoreError) -> Value) throws(TransportError) -> Value {
        guard leadership?.phase == .serving else { throw Refusal.notLeader(leader).error }
        do throws(StoreError) {
            return try body(namespace)
        } catch {
            fail("the metadata state cannot be read: \(error.cause)")
            throw TransportError(.unavailable, "the metadata state cannot be read")
        }
    }

    // MARK: Scans

    /// Body: handle (0: pin a new snapshot), the key to go on from. The answer: `ScanPage`; its rows go on after the last key.
    func scan(_ message: Transport.Message) async throws(TransportError) -> Transport.Message {
        let (handle, lower) = try decode(message) { reader throws(DecodeError) in
            (try reader.integer(UInt64.self), try reader.bytes(max: 1 << 16))
        }
        var current = handle
        if handle == 0 {
            try await waitForPhase { $0 == .serving }
            try await barrier()
            guard scans.count < Self.scansMax else { throw Refusal.busy.error }
            current = max(1, environment.random.next())
            scans[current] = PinnedScan(reader: store.snapshot(), appliedIndex: namespace.appliedIndex, lastUse: now)
        }
        guard let pinned = scans[current] else { throw TransportError(.unavailable, "the scan has expired; begin again") }
        scans[current]?.lastUse = now
        let result = await environment.workers.run { RowPage.read(pinned.reader, from: lower) }
        guard case .success(let page) = result else { throw TransportError(.unavailable, "the metadata state cannot be read") }
        if page.next == nil { scans.removeValue(forKey: current) }
        let reply = ScanPage(handle: page.next == nil ? 0 : current, appliedIndex: pinned.appliedIndex, rows: page.rows)
        return Transport.Message(body: [], payload: Slice(copying: reply.encoded))
    }
}
