import Bytes
import Digest
import Journal
import Model
import OrderedStore
import Runtime

/// The rows of the index, and the figures that follow from them.
///
/// Rows: "b" key → `BlockRow`; "q" key for damaged copies; "s" segment number (big-endian) → `Usage`; "m" → `State`. Each record of the journal becomes one
/// batch that also moves `State.applied`, and a crash keeps a prefix of the batches; so the index always is what the journal
/// says up to `applied`, and whatever is behind it is applied again when the store opens. A record is applied only after it is durable.
@LoopActor
final class BlockIndex {
    struct Usage: Equatable, ByteCodable {
        /// More than a segment can hold is a lie.
        private static let bytesMax: UInt64 = 1 << 40

        /// Bytes of records that a row points to.
        var live: UInt64 = 0
        /// Bytes of records that delete blocks.
        var tombstones: UInt64 = 0

        init() {}

        init(from reader: inout ByteReader) throws(DecodeError) {
            live = try reader.integer()
            tombstones = try reader.integer()
            guard live <= Self.bytesMax, tombstones <= Self.bytesMax else { throw .invalid("usage of a segment") }
        }

        func encode(to writer: inout ByteWriter) {
            writer.integer(live)
            writer.integer(tombstones)
        }
    }

    struct State: Equatable, ByteCodable {
        static let version: UInt32 = 2
        /// Totals above this are lies; what is below stands adding to.
        private static let counterMax: UInt64 = 1 << 62
        var cluster: ClusterID
        var node: NodeID
        var applied: JournalCursor
        var blocks: UInt64 = 0
        var contentBytes: UInt64 = 0
        var quarantined: UInt64 = 0

        init(cluster: ClusterID, node: NodeID, applied: JournalCursor) {
            self.cluster = cluster
            self.node = node
            self.applied = applied
        }

        init(from reader: inout ByteReader) throws(DecodeError) {
            guard try reader.integer(UInt32.self) == Self.version else { throw .invalid("version") }
            cluster = try ClusterID(from: &reader)
            node = try NodeID(from: &reader)
            applied = JournalCursor(
                position: JournalPosition(segment: try reader.integer(), offset: try reader.integer()), sequence: try reader.integer(),
                previous: try reader.integer())
            blocks = try reader.integer()
            contentBytes = try reader.integer()
            quarantined = try reader.integer()
            guard max(blocks, contentBytes, quarantined) <= Self.counterMax else { throw .invalid("totals of the index") }
        }

        func encode(to writer: inout ByteWriter) {
            writer.integer(Self.version)
            cluster.encode(to: &writer)
            node.encode(to: &writer)
            writer.integer(applied.position.segment)
            writer.integer(applied.position.offset)
            writer.integer(applied.sequence)
            writer.integer(applied.previous)
            writer.integer(blocks)
            writer.integer(contentBytes)
            writer.integer(quarantined)
        }
    }

    private static let stateKey: [UInt8] = [0x6D]
    private static let blockPrefix: UInt8 = 0x62
    private static let quarantinePrefix: UInt8 = 0x71
    private static let usagePrefix: UInt8 = 0x73

    private let store: any OrderedStore
    private(set) var state: State
    private(set) var usage: [UInt64: Usage] = [:]
    /// Bytes of records applied since the last flush.
    private(set) var unflushedBytes: UInt64 = 0

    /// An index as of nothing. `load` or `clear` comes next.
    init(store: any OrderedStore, cluster: ClusterID, node: NodeID) {
        self.store = store
        state = State(
            cluster: cluster, node: node, applied: JournalCursor(position: JournalPosition(segment: 0, offset: 0), sequence: 1, previous: 0))
    }

    /// Takes over what the store holds. False if that is nothing, or nothing of use, so that the index must be rebuilt.
    func load() throws(StoreError) -> Bool {
        guard let bytes = try store.get(Self.stateKey), let loaded = try? State(decoding: bytes), loaded.cluster == state.cluster,
            loaded.node == state.node
        else { return false }
        var usage: [UInt64: Usage] = [:]
        var isWhole = true
        try store.scan(from: [Self.usagePrefix], to: [Self.usagePrefix + 1]) { key, value in
            guard key.count == 9, let entry = try? Usage(decoding: value) else {
                isWhole = false
                return false
            }
            usage[UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 1, as: UInt64.self))] = entry
            return true
        }
        guard isWhole else { return false }
        state = loaded
        self.usage = usage
        return true
    }

    /// Removes every row.
    func clear() throws(StoreError) {
        var isEmpty = false
        while !isEmpty {
            var batch = WriteBatch()
            var count = 0
            try store.scan(from: [], to: nil) { key, _ in
                batch.delete(Array(key))
                count += 1
                return count < 4096
            }
            isEmpty = batch.isEmpty
            if !isEmpty { try store.write(batch) }
        }
        usage = [:]
        state = State(
            cluster: state.cluster, node: state.node,
            applied: JournalCursor(position: JournalPosition(segment: 0, offset: 0), sequence: 1, previous: 0))
    }

    func row(_ key: BlockKey) throws(StoreError) -> BlockRow? {
        guard let bytes = try store.get(Self.rowKey(Self.blockPrefix, key)) else { return nil }
        guard let row = try? BlockRow(decoding: bytes) else { throw StoreError(.corrupt, "the row of block \(key) cannot be read") }
        return row
    }

    /// The record that `row` describes is durable and is the copy of the block from now on.
    func put(_ key: BlockKey, _ row: BlockRow, next: JournalCursor) throws(StoreError) {
        var batch = WriteBatch()
        try forget(key, &batch)
        state.blocks += 1
        state.contentBytes += UInt64(row.length)
        change(row.position.segment, &batch) { $0.live += UInt64(row.recordLength) }
        batch.put(Self.rowKey(Self.blockPrefix, key), row.encoded)
        try apply(&batch, next: next, bytes: row.recordLength)
    }

    /// The record that deletes `keys` is durable.
    func delete(_ keys: [BlockKey], at position: JournalPosition, length: Int, next: JournalCursor) throws(StoreError) {
        var batch = WriteBatch()
        // A key named twice has its row only once.
        for key in Set(keys) { try forget(key, &batch) }
        change(position.segment, &batch) { $0.tombstones += UInt64(length) }
        try apply(&batch, next: next, bytes: length)
    }

    /// A record without meaning for the index was passed.
    func pass(next: JournalCursor) throws(StoreError) {
        var batch = WriteBatch()
        try apply(&batch, next: next, bytes: 0)
    }

    /// The copy is damaged.
    func quarantine(_ key: BlockKey, _ row: BlockRow) throws(StoreError) {
        guard !row.isBad else { return }
        var batch = WriteBatch()
        try forget(key, &batch)
        var bad = row
        bad.isBad = true
        state.quarantined += 1
        batch.put(Self.rowKey(Self.blockPrefix, key), bad.encoded)
        batch.put(Self.rowKey(Self.quarantinePrefix, key), [])
        batch.put(Self.stateKey, state.encoded)
        try store.write(batch)
    }

    /// The segment is about to go: its figures go, and everything so far becomes durable first.
    func forgetSegment(_ segment: UInt64) throws(StoreError) {
        usage[segment] = nil
        var batch = WriteBatch()
        batch.delete(Self.usageKey(segment))
        try store.write(batch)
        try flush()
    }

    func flush() throws(StoreError) {
        try store.flush()
        unflushedBytes = 0
    }

    /// Visits rows in the order of their keys, from the first above `key`, until `visit` returns false.
    func scan(after key: BlockKey?, _ visit: (BlockKey, BlockRow) -> Bool) throws(StoreError) {
        var lower = [Self.blockPrefix]
        // The smallest string above the key is the key and a zero.
        if let key { lower = Self.rowKey(Self.blockPrefix, key) + [0] }
        var isCorrupt = false
        try store.scan(from: lower, to: [Self.blockPrefix + 1]) { rawKey, value in
            guard rawKey.count == 33, let key = BlockKey(digest: UnsafeRawBufferPointer(rebasing: rawKey[1...])),
                let row = try? BlockRow(decoding: value)
            else {
                isCorrupt = true
                return false
            }
            return visit(key, row)
        }
        if isCorrupt { throw StoreError(.corrupt, "a row of the block index cannot be read") }
    }

    /// Keys of damaged copies, at most `limit`.
    func quarantined(limit: Int) throws(StoreError) -> [BlockKey] {
        var keys: [BlockKey] = []
        if limit <= 0 { return keys }
        try store.scan(from: [Self.quarantinePrefix], to: [Self.quarantinePrefix + 1]) { rawKey, _ in
            if rawKey.count == 33, let key = BlockKey(digest: UnsafeRawBufferPointer(rebasing: rawKey[1...])) { keys.append(key) }
            return keys.count < limit
        }
        return keys
    }

    /// Takes the row of `key` out of all figures and rows.
    private func forget(_ key: BlockKey, _ batch: inout WriteBatch) throws(StoreError) {
        guard let old = try row(key) else { return }
        if old.isBad {
            state.quarantined -= min(1, state.quarantined)
            batch.delete(Self.rowKey(Self.quarantinePrefix, key))
        } else {
            state.blocks -= min(1, state.blocks)
            state.contentBytes -= min(UInt64(old.length), state.contentBytes)
            change(old.position.segment, &batch) { $0.live -= min(UInt64(old.recordLength), $0.live) }
        }
        batch.delete(Self.rowKey(Self.blockPrefix, key))
    }

    private func change(_ segment: UInt64, _ batch: inout WriteBatch, _ body: (inout Usage) -> Void) {
        var entry = usage[segment] ?? Usage()
        body(&entry)
        usage[segment] = entry
        batch.put(Self.usageKey(segment), entry.encoded)
    }

    private func apply(_ batch: inout WriteBatch, next: JournalCursor, bytes: Int) throws(StoreError) {
        state.applied = next
        unflushedBytes += UInt64(bytes)
        batch.put(Self.stateKey, state.encoded)
        try store.write(batch)
    }

    private static func rowKey(_ prefix: UInt8, _ key: BlockKey) -> [UInt8] {
        var writer = ByteWriter(reserving: 34)
        writer.integer(prefix)
        key.encode(to: &writer)
        return writer.bytes
    }

    private static func usageKey(_ segment: UInt64) -> [UInt8] {
        var writer = ByteWriter(reserving: 9)
        writer.integer(usagePrefix)
        writer.integer(segment.bigEndian)
        return writer.bytes
    }
}
