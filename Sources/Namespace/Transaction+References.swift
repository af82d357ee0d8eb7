import Bytes
import Digest
import Model
import OrderedStore

/// The life of blocks: see `ReferenceRecord.State`.
extension Transaction {
    /// Nanoseconds for which the row of a deleted block stays: longer than any session holds on to a block it has put but not committed.
    private static let tombstoneRetention: Timestamp = 3_600_000_000_000
    /// Rows of deleted blocks that one command may remove: more than one command can add on average.
    private static let tombstonesPerCommand = Limits.keysPerCommand * 2

    /// Counts references up and down.
    /// - Throws: `.collected` with all keys that are being deleted, or were and are not in `republished`; `.invalid` where a block's
    /// length is another than before.
    func apply(_ changes: ReferenceChanges, republished: [BlockKey]) throws(Failure) {
        let sorted = changes.sorted
        var refused: [BlockKey] = []
        var records: [ReferenceRecord] = []
        records.reserveCapacity(sorted.count)
        let again = Set(republished)
        for (key, change) in sorted {
            let present: ReferenceRecord? = try value(RowKey.reference(key))
            guard !change.isContradictory, present == nil || present?.length == change.length else { throw .refused(.invalid) }
            let record = present ?? ReferenceRecord(length: change.length)
            if change.count > 0, record.state == .collecting || record.state == .deleted && !again.contains(key) { refused.append(key) }
            records.append(record)
        }
        guard refused.isEmpty else { throw .refused(.collected(refused)) }
        for (place, change) in sorted.enumerated() where change.value.count != 0 {
            try count(change.key, records[place], by: change.value.count)
        }
    }

    private func count(_ key: BlockKey, _ before: ReferenceRecord, by change: Int) throws(Failure) {
        var record = before
        if change > 0 {
            #if CANARIES
                if Canary.miscountsReferences.isActive, before.count > 0 { return }
            #endif
            record.count += UInt64(change)
            switch before.state {
            case .queued: delete(RowKey.queue(before.time, key))
            case .deleted: delete(RowKey.tombstone(before.time, key))
            case .live, .collecting: break
            }
            record.state = .live
            record.time = 0
        } else {
            guard record.count >= change.magnitude else {
                throw .store(StoreError(.corrupt, "block \(key) has more references than are counted"))
            }
            record.count -= UInt64(change.magnitude)
            if record.count == 0 {
                record.state = .queued
                record.time = after(state.collectionDelay)
                put(RowKey.queue(record.time, key), [])
            }
        }
        if before.count == 0 {
            state.blocks += 1
            state.referencedBytes += UInt64(record.length)
        } else if record.count == 0 {
            state.blocks -= min(state.blocks, 1)
            state.referencedBytes -= min(state.referencedBytes, UInt64(record.length))
        }
        record.index = index
        put(RowKey.reference(key), record.encoded)
    }

    /// Blocks that are still unreferenced and due are being deleted from now on; others are passed over.
    func collect(_ keys: [BlockKey]) throws(Failure) -> Outcome {
        guard keys.count <= Limits.keysPerCommand else { throw .refused(.invalid) }
        for key in keys {
            guard var record: ReferenceRecord = try value(RowKey.reference(key)), record.state == .queued, record.time <= time else {
                continue
            }
            delete(RowKey.queue(record.time, key))
            record.state = .collecting
            record.time = 0
            record.index = index
            put(RowKey.reference(key), record.encoded)
            put(RowKey.collecting(key), [])
        }
        return .done(attributes: nil, parents: [])
    }

    /// Blocks that were being deleted are deleted; others are passed over. Forgets blocks that were deleted long ago.
    func collected(_ keys: [BlockKey]) throws(Failure) -> Outcome {
        guard keys.count <= Limits.keysPerCommand else { throw .refused(.invalid) }
        let end = RowKey.end(.tombstone, upTo: time)
        for pair in try pairs(from: Table.tombstone.prefix, to: end, limit: Self.tombstonesPerCommand) {
            var fields = KeyFields(pair.key)
            guard fields.time() != nil, let key = fields.block(), fields.isAtEnd else { throw .store(Rows.corrupt(pair.key)) }
            delete(pair.key)
            delete(RowKey.reference(key))
        }
        for key in keys {
            guard var record: ReferenceRecord = try value(RowKey.reference(key)), record.state == .collecting else { continue }
            delete(RowKey.collecting(key))
            record.state = .deleted
            record.time = after(Self.tombstoneRetention)
            record.index = index
            put(RowKey.reference(key), record.encoded)
            put(RowKey.tombstone(record.time, key), [])
        }
        return .done(attributes: nil, parents: [])
    }

    /// The command's time and `delay`.
    private func after(_ delay: Timestamp) -> Timestamp {
        let (due, overflow) = time.addingReportingOverflow(delay)
        return overflow ? .max : due
    }
}
