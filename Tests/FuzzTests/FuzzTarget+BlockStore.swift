@testable import BlockStore
import Bytes
import Digest
@testable import Journal
import Model
import OrderedStore
import Runtime
import TestSupport

extension FuzzTarget {
    /// What a block store finds on its disk: heads of records, compressed content, rows of its index, and all of it together.
    static let blockStore = FuzzTarget(
        name: "block-store",
        decoders: [
            Decoder("BlockHeader", seeds: [BlockHeader(key: someKey, length: 5, isCompressed: true).encoded]) { bytes throws(Violation) in
                guard let header = BlockHeader(Slice(copying: bytes)) else { return }
                try require(header.encoded.elementsEqual(bytes), "a block's header has two encodings")
            },
            Decoder("Tombstone", seeds: [Tombstone.encode([someKey, otherKey])]) { bytes throws(Violation) in
                guard let keys = Tombstone.decode(Slice(copying: bytes)) else { return }
                try require(Tombstone.encode(keys).elementsEqual(bytes), "a tombstone has two encodings")
            },
            .codable(BlockRow.self, Stores.row),
            .codable(BlockIndex.Usage.self, BlockIndex.Usage()),
            .codable(BlockIndex.State.self, Stores.state),
            Decoder("compressed content", seeds: [Stores.compressed], mutations: 300) { bytes throws(Violation) in
                guard bytes.count > 4 else { return }
                let length = Int(bytes.loadUnaligned(as: UInt32.self) % (1 << 20)) + 1
                guard let content = Stores.codec.decompress(Slice(copying: bytes[4...]), length: length) else { return }
                try require(content.count == length, "\(content.count) bytes of content, not \(length)")
            },
            Decoder("content", seeds: [Array(repeating: 7, count: 9000)], mutations: 20) { bytes throws(Violation) in
                let content = Slice(copying: bytes)
                guard let prepared = Stores.codec.prepare(SHA256.key(of: content), content) else { throw Violation("a block does not have its own key") }
                guard prepared.header.isCompressed else { return }
                try require(
                    Stores.codec.decompress(prepared.payload.bytes, length: bytes.count)?.array == content.array, "compression changes content")
            },
            Decoder("index", seeds: [Stores.index], mutations: 40) { bytes throws(Violation) in
                let rows = Array(bytes)
                try checkOnLoop { () throws(Violation) in await Stores.useIndex(rows) }
            },
            Decoder("store", seeds: [[0] + Stores.index + [255] + Stores.segment, [1, 255] + Stores.segment], mutations: 40) { bytes throws(Violation) in
                guard let flags = bytes.first else { return }
                let disk = Array(bytes[1...])
                try checkOnLoop { () throws(Violation) in try await Stores.openStore(disk, flags: flags) }
            },
        ], allocationMebibytesMax: 70)
}

/// Indexes and segments of a block store, as the fuzzer writes them.
private enum Stores {
    static let codec = BlockCodec()
    static let content = [UInt8](repeating: 3, count: 500)
    static let position = JournalPosition(segment: 1, offset: UInt64(SegmentHeader.count))
    static let header = BlockHeader(key: SHA256.key(of: content), length: content.count, isCompressed: false)
    static let row = BlockRow(position: position, storedCount: content.count, header: header)
    static let keys = [someKey, otherKey, header.key]

    static let state = BlockIndex.State(
        cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), applied: JournalCursor(position: position, sequence: 1, previous: 0))

    static var compressed: [UInt8] {
        let content = Slice(copying: Array(repeating: UInt8(7), count: 9000))
        guard let prepared = codec.prepare(SHA256.key(of: content), content) else { preconditionFailure("the content has its key") }
        return [0x27, 0x23, 0, 0] + prepared.payload.bytes.array
    }

    /// Rows: a byte for the kind and key, the length of the value, the value.
    static var index: [UInt8] {
        let rows: [(UInt8, [UInt8])] = [(0, state.encoded), (1, row.encoded), (4, BlockIndex.Usage().encoded), (3, row.encoded), (2, []), (10, [])]
        return rows.flatMap { [$0, UInt8($1.count)] + $1 }
    }

    /// A segment with a block and a tombstone, without zeros and with any checksums; see `Segments`.
    static var segment: [UInt8] {
        var header = Segments.header
        header[12] = 2
        var records: [UInt8] = []
        for (type, fields, payload) in [(BlockHeader.recordType, Self.header.encoded, content), (Tombstone.recordType, Tombstone.encode([someKey]), [])] {
            let head = RecordHead(
                type: type, sequence: UInt64(type), durable: UInt64(type), headerCount: fields.count, payloadCount: payload.count, bodyChecksum: 0)
            var record = [UInt8](repeating: 0, count: head.length)
            record.withUnsafeMutableBytes { target in
                guard let base = target.baseAddress else { return }
                head.encode(into: base, salt: 0, offset: 0)
            }
            record.replaceSubrange(RecordHead.count..<RecordHead.count + fields.count, with: fields)
            record.replaceSubrange(head.payloadOffset..<head.payloadOffset + payload.count, with: payload)
            records += record
        }
        return header + records
    }

    /// Puts rows into a store up to a row of kind 255; returns what stands behind it.
    static func fill(_ store: MemoryStore, _ bytes: [UInt8]) -> ArraySlice<UInt8> {
        var rest = bytes[...]
        var batch = WriteBatch()
        while let kind = rest.popFirst(), kind != 255, let count = rest.popFirst() {
            let value = Array(rest.prefix(Int(count)))
            rest = rest.dropFirst(Int(count))
            let key = keys[Int(kind) % 3].bytes
            switch kind {
            case 0: batch.put([0x6D], value)
            case 1...3: batch.put([0x62] + key, value)
            case 4...6: batch.put([0x73, 0, 0, 0, 0, 0, 0, 0, kind - 3], value)
            case 7...9: batch.put([0x73] + value, Array(value.prefix(16)))
            case 10...12: batch.put([0x71] + key, value)
            case 13: batch.put(value, value)
            default: batch.put([0x62] + value, row.encoded)
            }
        }
        store.write(batch)
        return rest
    }

    /// Reads and changes an index made of these rows.
    @LoopActor
    static func useIndex(_ rows: [UInt8]) async {
        let store = MemoryStore()
        _ = fill(store, rows)
        let index = BlockIndex(store: store, cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1))
        guard (try? index.load()) == true else { return }
        let next = JournalCursor(position: position, sequence: 2, previous: 0)
        try? index.scan(after: nil) { _, _ in true }
        _ = try? index.quarantined(limit: 10)
        for key in keys {
            if let row = try? index.row(key) { try? index.quarantine(key, row) }
            try? index.put(key, row, next: next)
        }
        try? index.delete(keys, at: position, length: 100, next: next)
        for segment in [0, 1, 2, 3, UInt64.max] { try? index.forgetSegment(segment) }
        try? index.clear()
    }

    /// Opens a store on an index and a segment, reads and writes everything, and compacts.
    @LoopActor
    static func openStore(_ bytes: [UInt8], flags: UInt8) async throws(Violation) {
        let index = MemoryStore()
        let segment = Array(fill(index, bytes))
        let disk = MemoryDisk(capacity: 64 << 20)
        let world = MemoryWorld(seed: 1)
        let records = Segments.mendedRecords(Array(segment.dropFirst(64)), bodies: flags & 2 == 0)
        let head = Array(segment.prefix(64)) + [UInt8](repeating: 0, count: max(0, 64 - segment.count))
        await Segments.put(Segments.mended(head, records: records), number: 1, in: "/blocks", on: disk)
        let options = BlockStoreOptions(
            cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), segmentBytes: 64 << 10, blockBytesMax: 1 << 20, putBytesMax: 4 << 20,
            reserveBytes: 0, compactionBytesPerSecond: 0, compactsByItself: false)
        guard
            let store = try? await BlockStore.open(
                environment: world.node(1, disk: disk), directory: "/blocks", index: index, options: options, log: quiet, rebuildIndex: flags & 1 != 0)
        else { return }
        for block in (try? store.list(after: nil, limit: 100)) ?? [] {
            if let whole = try? await store.get(block.key, verify: .key) {
                try require(SHA256.key(of: whole) == block.key, "wrong bytes were served")
            }
            _ = try? await store.get(block.key, offset: 1, count: 10)
            _ = try? store.place(of: block.key)
        }
        let fresh = Slice(copying: Array("fresh".utf8))
        let key = SHA256.key(of: fresh)
        if (try? await store.put(key, fresh)) != nil {
            try require((try? await store.get(key, verify: .key))?.array == fresh.array, "a block that was just put is not there")
        }
        _ = try? await store.delete([someKey])
        _ = try? await store.statistics()
        try? await store.close()
    }
}
