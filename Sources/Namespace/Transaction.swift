import Bytes
import Digest
import Model
import OrderedStore

/// The changes of one log entry before they are written: reads see earlier writes of the same entry, and a command that fails is undone.
final class Transaction {
    private let store: any OrderedStore
    /// What is written: nil for a deleted row.
    private var overlay: [RowName: [UInt8]?] = [:]
    /// Keys of the overlay in the order they came in, which is the same on every replica, as a dictionary's is not.
    private var order: [RowName] = []
    /// How to undo the present command: keys with what the overlay had for them.
    private var undo: [(name: RowName, previous: [UInt8]??)] = []
    private var undoState: StateRecord
    private var undoOrder = 0

    var state: StateRecord
    /// The log index of the entry.
    let index: UInt64
    /// The leader's time of the present command.
    var time: Timestamp = 0
    /// The timestamps that it leaves.
    var shown: Timestamp = 0
    /// The present command had been carried out before.
    var isRemembered = false

    init(store: any OrderedStore, state: StateRecord, index: UInt64) {
        self.store = store
        self.state = state
        self.index = index
        undoState = state
    }

    /// Starts a command.
    func begin(time: Timestamp, shown: Timestamp? = nil) {
        self.time = time
        self.shown = shown ?? time
        isRemembered = false
        undo.removeAll(keepingCapacity: true)
        undoState = state
        undoOrder = order.count
    }

    /// Takes back everything since `begin`.
    func rollback() {
        for step in undo.reversed() {
            if let previous = step.previous {
                overlay.updateValue(previous, forKey: step.name)
            } else {
                overlay.removeValue(forKey: step.name)
            }
        }
        order.removeSubrange(undoOrder...)
        undo.removeAll(keepingCapacity: true)
        state = undoState
    }

    /// The batch to write, with the state row as of `index` and `term`.
    func finish(term: UInt64) -> WriteBatch {
        state.appliedIndex = index
        state.appliedTerm = term
        var batch = WriteBatch()
        var digested = ByteWriter(reserving: 256 + order.count * 256)
        // The previous digest is in the state row, so digests chain.
        state.encode(to: &digested)
        for name in order {
            guard let row = overlay[name] else { continue }
            digested.bytes(name.key)
            if let row {
                digested.boolean(true)
                digested.bytes(row)
                batch.put(name.key, row)
            } else {
                digested.boolean(false)
                batch.delete(name.key)
            }
        }
        state.digest = SHA256.key(of: digested.bytes)
        batch.put(RowKey.state, state.encoded)
        return batch
    }

    // MARK: Rows

    func get(_ key: [UInt8]) throws(Failure) -> [UInt8]? {
        if let row = overlay[RowName(key)] { return row }
        do throws(StoreError) { return try store.get(key) } catch { throw .store(error) }
    }

    func put(_ key: [UInt8], _ row: [UInt8]) { set(key, row) }
    func delete(_ key: [UInt8]) { set(key, nil) }

    private func set(_ key: [UInt8], _ row: [UInt8]?) {
        let name = RowName(key)
        let previous = overlay.updateValue(row, forKey: name)
        undo.append((name, previous))
        if previous == nil { order.append(name) }
    }

    /// At most `limit` pairs with `lower <= key < upper`, in order.
    func pairs(from lower: [UInt8], to upper: [UInt8], limit: Int = .max) throws(Failure) -> [(key: [UInt8], value: [UInt8])] {
        let changed = order.filter { !$0.key.lexicographicallyPrecedes(lower) && $0.key.lexicographicallyPrecedes(upper) }
        let (wanted, overflow) = limit.addingReportingOverflow(changed.count)
        var pairs: [(key: [UInt8], value: [UInt8])]
        do throws(StoreError) {
            pairs = try Rows(store).pairs(from: lower, to: upper, limit: overflow ? .max : wanted)
        } catch { throw .store(error) }
        guard !changed.isEmpty else { return pairs }
        pairs.removeAll { overlay[RowName($0.key)] != nil }
        for name in changed {
            if case .some(.some(let row)) = overlay[name] { pairs.append((name.key, row)) }
        }
        pairs.sort { $0.key.lexicographicallyPrecedes($1.key) }
        return Array(pairs.prefix(limit))
    }

    /// The decoded row at `key`.
    func value<Value: ByteCodable>(_ key: [UInt8], as type: Value.Type = Value.self) throws(Failure) -> Value? {
        guard let bytes = try get(key) else { return nil }
        do throws(StoreError) { return try Rows.decode(bytes, key: key) } catch { throw .store(error) }
    }

    // MARK: Inodes and entries

    /// The inode, also one without links. - Throws: `.stale` where it is gone.
    func inode(_ inode: InodeID) throws(Failure) -> InodeRecord {
        guard let record: InodeRecord = try value(RowKey.inode(inode)) else { throw .refused(.stale) }
        guard record.attributes.inode == inode else { throw .store(Rows.corrupt(RowKey.inode(inode))) }
        return record
    }

    /// The inode an entry names. - Throws: `.corrupt` where it is missing.
    func inode(of entry: EntryRecord) throws(Failure) -> InodeRecord {
        guard let record: InodeRecord = try value(RowKey.inode(entry.inode)) else {
            throw .store(StoreError(.corrupt, "an entry names inode \(entry.inode), which does not exist"))
        }
        return record
    }

    /// A directory in which entries may be looked up and changed.
    /// - Throws: `.stale`, `.notDirectory`, or `.notFound` where it was removed but is still open.
    func directory(_ inode: InodeID) throws(Failure) -> InodeRecord {
        let record = try self.inode(inode)
        guard record.attributes.kind == .directory else { throw .refused(.notDirectory) }
        guard record.attributes.links > 0 else { throw .refused(.notFound) }
        return record
    }

    func put(_ record: InodeRecord) { put(RowKey.inode(record.attributes.inode), record.row) }

    func entry(_ parent: InodeID, _ name: Name) throws(Failure) -> EntryRecord? { try value(RowKey.entry(parent, name.bytes)) }

    func putEntry(_ parent: InodeID, _ name: Name, _ inode: Attributes) {
        put(RowKey.entry(parent, name.bytes), EntryRecord(inode: inode.inode, kind: inode.kind).encoded)
        if inode.kind == .directory { put(RowKey.location(inode.inode), name.encoded) }
    }

    func deleteEntry(_ parent: InodeID, _ name: Name) { delete(RowKey.entry(parent, name.bytes)) }

    func extents(_ inode: InodeID, region: UInt32) throws(Failure) -> [Extent]? {
        let key = RowKey.extents(inode, region: region)
        guard let bytes = try get(key) else { return nil }
        do throws(StoreError) { return try Rows.extents(bytes, region: region, key: key) } catch { throw .store(error) }
    }

    /// The regions among `range` that have extents, in order. - Precondition: `range` is not empty.
    func regions(_ inode: InodeID, in range: ClosedRange<UInt32>, limit: Int = .max) throws(Failure) -> [UInt32] {
        // A few gets cost less than an iterator.
        if range.count <= 8 {
            var found: [UInt32] = []
            for region in range where found.count < limit {
                if try get(RowKey.extents(inode, region: region)) != nil { found.append(region) }
            }
            return found
        }
        let upper = RowKey.extents(inode, region: range.upperBound) + [0]
        return try pairs(from: RowKey.extents(inode, region: range.lowerBound), to: upper, limit: limit).compactMap { pair in
            var fields = KeyFields(pair.key)
            _ = fields.unsigned64()
            return fields.unsigned32()
        }
    }
}

extension Attributes {
    /// Marks the entries or the content as changed at `time`.
    mutating func modify(at time: Timestamp) {
        modified = time
        change(at: time)
    }

    /// Marks the inode as changed at `time`.
    mutating func change(at time: Timestamp) {
        changed = time
        version &+= 1
    }
}
