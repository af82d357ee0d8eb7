import Bytes
import Digest
import Journal
import OrderedStore
import Runtime
import Telemetry

extension BlockStore {
    /// Bytes copied before the next sync.
    private static let batchBytes = 4 << 20
    private static let batchRecords = 256

    /// Compacts the segment with the smallest part of live bytes, if that is below the limit of the options.
    /// - Returns: false if there was nothing to do, or a compaction runs already.
    @discardableResult
    package func compactOnce() async throws(BlockStoreError) -> Bool {
        guard !isCompacting, !isClosing else { return false }
        isCompacting = true
        defer {
            isCompacting = false
            for waiter in compactionWaiters { waiter.resume() }
            compactionWaiters = []
        }
        guard let segment = try await chooseSegment() else { return false }
        return try await compact(segment)
    }

    /// Starts compaction in the background if a segment is worth it.
    func compactIfWorthIt() {
        guard options.compactsByItself, !isCompacting, !isClosing, worthwhile() != nil else { return }
        Task { @LoopActor in
            do throws(BlockStoreError) {
                while try await compactOnce() {}
            } catch {
                log.warning("compaction stopped", ["cause": error.cause])
            }
        }
    }

    private func chooseSegment() async throws(BlockStoreError) -> UInt64? {
        guard let choice = worthwhile() else { return nil }
        if choice == journal.segments.last?.number {
            do throws(JournalError) { try await journal.roll() } catch { throw BlockStoreError(error) }
        }
        return choice
    }

    /// The segment to compact next. The last one only if it is half full and no other is worth it.
    private func worthwhile() -> UInt64? {
        let segments = journal.segments
        var best: (number: UInt64, kept: UInt64)?
        for segment in segments {
            let isLast = segment.number == segments.last?.number
            if isLast, best != nil || segment.usedBytes < segment.fileBytes / 2 { continue }
            let body = segment.usedBytes - min(segment.usedBytes, journal.firstPosition(of: segment.number).offset)
            let usage = index.usage[segment.number] ?? BlockIndex.Usage()
            // Deletes must stay as long as an older segment may hold the block.
            let kept = usage.live + (segment.number == segments.first?.number ? 0 : usage.tombstones)
            guard body > 0, kept * 100 < body * options.compactionPercent else { continue }
            let part = kept * 1000 / body
            if best.map({ part < $0.kept }) ?? true { best = (segment.number, part) }
        }
        return best?.number
    }

    /// Copies what is live to the end of the journal and removes the segment. False if it was given up because the store closes.
    ///
    /// Copies are durable when their appends return; their rows, and those of all that happened before, become durable by the flush; only then the
    /// file goes. Whether a record is live is decided in the same step in which its copy takes its place in the journal's order, so
    /// that a delete can never come before the copy in that order and after it in effect.
    private func compact(_ segment: UInt64) async throws(BlockStoreError) -> Bool {
        var position = journal.firstPosition(of: segment)
        var batch: [JournalRecord] = []
        var bytes = 0
        var isAtEnd = false
        while !isAtEnd {
            do throws(JournalError) {
                if let record = try await journal.record(at: position) {
                    batch.append(record)
                    bytes += record.length
                    position = record.next.position
                } else {
                    isAtEnd = true
                }
            } catch {
                guard case .corrupt = error.code else { throw BlockStoreError(error) }
                // Records behind the damage are found by the index.
                log.error("damage in a segment", ["cause": error.cause])
                isAtEnd = true
            }
            if isAtEnd || bytes >= Self.batchBytes || batch.count >= Self.batchRecords {
                try await copy(batch)
                if isClosing { return false }
                await pause(after: bytes)
                batch = []
                bytes = 0
            }
        }
        try await rescue(segment)
        do throws(StoreError) {
            if let failure { throw StoreError(.failed, failure.cause) }
            // Everything the journal holds is applied, so the index need not begin in this segment.
            try index.pass(next: journal.end)
            try index.forgetSegment(segment)
        } catch {
            throw BlockStoreError(error)
        }
        do throws(JournalError) { try await journal.removeSegment(segment) } catch { throw BlockStoreError(error) }
        return true
    }

    private func pause(after bytes: Int) async {
        guard options.compactionBytesPerSecond > 0, bytes > 0 else { return }
        await environment.clock.sleep(nanoseconds: UInt64(bytes) * Nanoseconds.second / options.compactionBytesPerSecond)
    }

    /// Copies the live ones of `records`, all in one group.
    private func copy(_ records: [JournalRecord]) async throws(BlockStoreError) {
        var failed: JournalError?
        let copies = records.map { record in Task { @LoopActor in await self.copy(record) } }
        for copy in copies {
            if let error = await copy.value { failed = failed ?? error }
        }
        if let failed { throw BlockStoreError(failed) }
        if let failure { throw failure }
    }

    private func copy(_ record: JournalRecord) async -> JournalError? {
        switch record.type {
        case BlockHeader.recordType:
            guard let header = BlockHeader(record.header), isLive(header.key, at: record.position) else { return nil }
            let payload = await environment.workers.run { JournalPayload(record.payload) }
            guard isLive(header.key, at: record.position) else { return nil }
            return await append(BlockCodec.Prepared(header: header, payload: payload), urgent: true)
        case Tombstone.recordType:
            guard let oldest = journal.segments.first?.number, oldest < record.position.segment,
                let keys = Tombstone.decode(record.header)
            else { return nil }
            // A block that is here again, or about to be, needs its delete no more.
            let needed = keys.filter { key in putting[key] == nil && (try? index.row(key)) == .some(nil) }
            return needed.isEmpty ? nil : await append(deleting: needed)
        default:
            return nil
        }
    }

    private func isLive(_ key: BlockKey, at position: JournalPosition) -> Bool {
        guard deleting[key] == nil, let row = try? index.row(key) else { return false }
        return row.position == position && !row.isBad
    }

    /// Copies the blocks whose rows still point into the segment, which are those behind damage, and quarantines what cannot be read.
    private func rescue(_ segment: UInt64) async throws(BlockStoreError) {
        while (index.usage[segment]?.live ?? 0) > 0 {
            var found: [(BlockKey, BlockRow)] = []
            do throws(StoreError) {
                try index.scan(after: nil) { key, row in
                    if row.position.segment == segment, !row.isBad, deleting[key] == nil { found.append((key, row)) }
                    return found.count < 64
                }
            } catch {
                throw BlockStoreError(error)
            }
            // What is left is on its way out.
            if found.isEmpty { return }
            for (key, row) in found {
                do throws(JournalError) {
                    let record = try await journal.read(at: row.position, length: row.recordLength)
                    if let error = await copy(record) { throw error }
                } catch {
                    guard case .corrupt = error.code else { throw BlockStoreError(error) }
                    log.error("quarantining a damaged block", ["key": key.description, "cause": error.cause])
                    if try self.row(key) == row { try quarantine(key) }
                }
                if let failure { throw failure }
                // A record of another block at this place would be copied as that one, over and over.
                if try self.row(key) == row, deleting[key] == nil { try quarantine(key) }
            }
        }
    }
}
