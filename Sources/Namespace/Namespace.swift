import Bytes
package import Digest
package import Model
package import OrderedStore

/// The metadata state machine: a tree of inodes, what their content is made of, and who refers to which block, in the rows of one store.
///
/// Deterministic: equal log entries in equal order give byte-identical rows and equal outcomes on every replica. It works on any
/// `OrderedStore` through the protocol: a call through it costs nanoseconds, a row of RocksDB a microsecond. One thread at a time; queries
/// may be answered on another thread from `Namespace.answer(_:from:)` with a snapshot.
package final class Namespace {
    /// The cluster record with the time that blocks without references wait for collection: decimal seconds; 600 where it is absent.
    package static let collectionDelayRecord = "collection.delay"

    private let store: any OrderedStore
    private var state: StateRecord
    /// Which proposals of the last entry had been carried out before, so that their outcomes tell of the past.
    package private(set) var remembered: Set<Int> = []

    /// Opens the namespace in `store`; in an empty store it makes the root directory (mode 0755, owner 0, times 0).
    /// - Throws: `.corrupt` where the store holds something else, or a snapshot that was not installed to its end.
    package init(store: any OrderedStore) throws(StoreError) {
        self.store = store
        let rows = Rows(store)
        if let state = try rows.state() {
            self.state = state
            return
        }
        guard try rows.pairs(from: [], to: nil, limit: 1).isEmpty else {
            throw StoreError(.corrupt, "the store has rows but no state: the installation of a snapshot was cut off")
        }
        state = StateRecord()
        let root = Attributes(
            inode: .root, kind: .directory, mode: 0o755, uid: 0, gid: 0, links: 2, size: 0, allocated: 0, device: 0, accessed: 0,
            modified: 0, changed: 0, created: 0, version: 1, entries: 0, parent: .root)
        var batch = WriteBatch()
        batch.put(RowKey.inode(.root), InodeRecord(root).row)
        batch.put(RowKey.state, state.encoded)
        try store.write(batch)
    }

    /// The last log entry whose effects the store holds (not necessarily flushed).
    package var appliedIndex: UInt64 { state.appliedIndex }
    package var appliedTerm: UInt64 { state.appliedTerm }
    /// Rolls over everything that was ever written: replicas that applied the same entries have the same.
    package var digest: BlockKey { state.digest }
    /// Counters and totals.
    package var statistics: StateRecord { state }

    /// Carries out the proposals of one log entry, in order; a proposal that fails does not hold up the next. Everything the entry changes
    /// is written in one batch together with its index.
    ///
    /// Indexes may be skipped (entries that carry no proposals), but never go back: an entry that was applied before changes nothing and
    /// has no outcomes (its proposers find theirs by repeating the proposal under its sequence).
    /// A proposal whose sequence is below what its session acknowledged, or `Limits.sequenceWindow` or more above it, is
    /// `.failed(.invalid)`.
    /// - Throws: what the store throws; then nothing was changed.
    package func apply(_ proposals: [Proposal], index: UInt64, term: UInt64) throws(StoreError) -> [Outcome] {
        remembered.removeAll(keepingCapacity: true)
        guard index > state.appliedIndex else { return [] }
        let transaction = Transaction(store: store, state: state, index: index)
        var outcomes: [Outcome] = []
        outcomes.reserveCapacity(proposals.count)
        for (position, proposal) in proposals.enumerated() {
            outcomes.append(try transaction.carryOut(proposal))
            if transaction.isRemembered { remembered.insert(position) }
        }
        try store.write(transaction.finish(term: term))
        state = transaction.state
        return outcomes
    }

    /// Answers from the present state.
    package func answer(_ query: Query) throws(StoreError) -> Answer { try Self.answer(query, from: store) }

    /// What a name leads to at present.
    package func inode(_ name: Name, in parent: InodeID) throws(StoreError) -> InodeID? { try Rows(store).entry(parent, name)?.inode }

    /// Makes everything applied so far durable.
    package func flush() throws(StoreError) { try store.flush() }

    // MARK: For the service

    /// Blocks that may be collected: unreferenced, due at or before `time`; the ones due first come first.
    package func dueForCollection(before time: Timestamp, limit: Int) throws(StoreError) -> [BlockKey] {
        try keys(from: Table.queue.prefix, to: RowKey.end(.queue, upTo: time), limit: limit) { fields in
            fields.time() == nil ? nil : fields.block()
        }
    }

    /// Blocks that are being deleted, for `.collected` when all replicas have done so.
    package func collecting(limit: Int) throws(StoreError) -> [BlockKey] {
        try keys(from: Table.collecting.prefix, to: Table.collecting.end, limit: limit) { fields in fields.block() }
    }

    /// Inodes without links that are not freed: still open somewhere when they lost the last one, or too large to be freed at once.
    package func orphans(limit: Int) throws(StoreError) -> [InodeID] {
        try keys(from: Table.orphan.prefix, to: Table.orphan.end, limit: limit) { fields in
            fields.unsigned64().map { InodeID(rawValue: $0) }
        }
    }

    package func sessions() throws(StoreError) -> [(session: SessionID, name: String)] {
        var sessions: [(session: SessionID, name: String)] = []
        for pair in try Rows(store).pairs(from: Table.session.prefix, to: Table.session.end) {
            var fields = KeyFields(pair.key)
            guard let session = fields.unsigned64(), fields.isAtEnd else { throw Rows.corrupt(pair.key) }
            let record: SessionRecord = try Rows.decode(pair.value, key: pair.key)
            sessions.append((SessionID(rawValue: session), record.name))
        }
        return sessions
    }

    private func keys<Value>(
        from lower: [UInt8], to upper: [UInt8], limit: Int, _ value: (inout KeyFields) -> Value?
    ) throws(StoreError) -> [Value] {
        var values: [Value] = []
        for pair in try Rows(store).pairs(from: lower, to: upper, limit: limit) {
            var fields = KeyFields(pair.key)
            guard let value = value(&fields), fields.isAtEnd else { throw Rows.corrupt(pair.key) }
            values.append(value)
        }
        return values
    }
}
