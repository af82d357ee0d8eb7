import Bytes
@testable import Journal
import Model
import Runtime
import TestSupport

extension FuzzTarget {
    /// Segments of a journal: headers, records, and recovery as a whole.
    static let journal = FuzzTarget(
        name: "journal",
        decoders: [
            Decoder("SegmentHeader", seeds: [Segments.header]) { bytes throws(Violation) in
                let page = Segments.mended(Array(bytes.prefix(64)))
                guard case .header(let header) = page.withUnsafeBytes({ SegmentHeader.decode($0) }) else { return }
                let again = header.encoded.withBytes { SegmentHeader.decode($0) }
                try require(again == .header(header), "a segment's header changes when it is encoded")
            },
            Decoder("RecordParser", seeds: Segments.bodies.map { [0] + $0 }, mutations: 300) { bytes throws(Violation) in
                guard let flags = bytes.first else { return }
                try Segments.parse(Array(bytes[1...]), payloads: flags & 1 == 0)
            },
            Decoder("recovery", seeds: Segments.bodies.map { [0] + Segments.header + $0 } + [[3] + Segments.header], mutations: 40) { bytes throws(Violation) in
                guard let flags = bytes.first else { return }
                let segment = Array(bytes[1...])
                try checkOnLoop { () throws(Violation) in try await Segments.recover(segment, flags: flags) }
            },
        ], allocationMebibytesMax: 70)
}

/// Segment files as the fuzzer writes them: the 64 bytes that the header says, then what stands behind the first page. The zeros between are
/// left out, and checksums are put right, since no fuzzer guesses one.
enum Segments {
    private static let salt: UInt64 = 0x5A17_5A17_5A17_5A17
    private static let directory = "/journal"
    private static let options = JournalOptions(
        cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), use: 1, segmentBytes: 64 << 10, payloadMax: 1 << 20, groupBytesMax: 64 << 10)

    static let header: [UInt8] = Array(
        SegmentHeader(
            use: 1, cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), number: 1, salt: salt, firstSequence: 1, capacity: 64 << 10
        ).encoded.array.prefix(64))

    private static func record(_ number: UInt64, at offset: UInt64, type: UInt8 = 1, header: [UInt8], payload: [UInt8]) -> [UInt8] {
        let head = RecordHead(
            type: type, sequence: number, durable: number, headerCount: header.count, payloadCount: payload.count, bodyChecksum: 0)
        var bytes = [UInt8](repeating: 0, count: head.length)
        bytes.withUnsafeMutableBytes { target in
            guard let base = target.baseAddress else { return }
            head.encode(into: base, salt: salt, offset: offset)
        }
        bytes.replaceSubrange(RecordHead.count..<RecordHead.count + header.count, with: header)
        bytes.replaceSubrange(head.payloadOffset..<head.payloadOffset + payload.count, with: payload)
        return bytes
    }

    /// Bytes behind the first page.
    static let bodies: [[UInt8]] = {
        let start = UInt64(SegmentHeader.count)
        var chain: [UInt8] = []
        for number in 1...3 as ClosedRange<UInt64> {
            chain += record(
                number, at: start + UInt64(chain.count), header: [UInt8(number)], payload: Array(repeating: UInt8(number), count: 5000 / Int(number)))
        }
        let sealed = chain + record(4, at: start + UInt64(chain.count), type: RecordHead.seal, header: [], payload: [])
        let torn = Array(chain.dropLast(100))
        let hole = Array(chain.prefix(64)) + [UInt8](repeating: 0, count: 64) + chain.dropFirst(128)
        return [chain, sealed, torn, hole, record(1, at: start, header: [1, 2, 3], payload: []), []].map { mendedRecords($0) }
    }()

    /// The whole file of a segment with its header's checksum put right.
    static func mended(_ header: [UInt8], records: [UInt8] = []) -> [UInt8] {
        var file = header + [UInt8](repeating: 0, count: SegmentHeader.count - header.count)
        store(CRC32C.checksum(Array(file[..<64])), in: &file, at: 64)
        return file + records
    }

    /// Puts the checksums of a chain of records right as far as it reaches: up to the first place without the magic number.
    static func mendedRecords(_ records: [UInt8], bodies: Bool = true) -> [UInt8] {
        var bytes = records
        var place = 0
        while place + RecordHead.count <= bytes.count, load(UInt32.self, bytes, place) == RecordHead.magic {
            bytes[place + 4] = RecordHead.version
            store(salt, in: &bytes, at: place + 8)
            store(UInt32(truncatingIfNeeded: (SegmentHeader.count + place) / 8), in: &bytes, at: place + 44)
            let headerCount = Int(load(UInt32.self, bytes, place + 32))
            let payloadCount = Int(load(UInt32.self, bytes, place + 36))
            var next = bytes.count
            if headerCount <= RecordHead.headerMax, payloadCount <= RecordHead.payloadLimit {
                let table = place + RecordHead.count + headerCount
                let payload = table + JournalPayload.pages(of: payloadCount) * 4
                if bodies, payload <= bytes.count {
                    let stored = bytes[payload..<min(bytes.count, payload + payloadCount)]
                    for (page, checksum) in stored.withUnsafeBytes({ JournalPayload.checksums(of: $0) }).enumerated() {
                        store(checksum, in: &bytes, at: table + page * 4)
                    }
                    store(CRC32C.checksum(Array(bytes[place + RecordHead.count..<payload])), in: &bytes, at: place + 40)
                }
                next = place + RecordHead.length(headerCount: headerCount, payloadCount: payloadCount)
            }
            store(CRC32C.checksum(Array(bytes[place..<place + 52])), in: &bytes, at: place + 52)
            place = next
        }
        return bytes
    }

    /// Records lie where they say, inside the piece, and follow each other.
    static func parse(_ records: [UInt8], payloads: Bool) throws(Violation) {
        let start = UInt64(SegmentHeader.count)
        let piece = Slice(copying: mendedRecords(records))
        let parser = RecordParser(segment: 1, salt: salt, payloads: payloads)
        for expected in [nil, 1] as [UInt64?] {
            let result = parser.parse(piece, offset: start, sequence: expected)
            var next = start
            for record in result.records {
                try require(record.position.offset == next, "a record begins at \(record.position.offset), not at \(next)")
                next = record.next.position.offset
            }
            try require(!payloads || next <= start + UInt64(piece.count), "a record that was read ends behind the piece")
            _ = parser.search(piece, offset: start, above: 1)
        }
    }

    /// Opens a journal that finds this segment. If it opens, it takes records and finds them again.
    @LoopActor
    static func recover(_ segment: [UInt8], flags: UInt8) async throws(Violation) {
        let disk = MemoryDisk(capacity: 64 << 20)
        let world = MemoryWorld(seed: 1)
        let records = flags & 4 == 0 ? mendedRecords(Array(segment.dropFirst(64)), bodies: flags & 8 == 0) : Array(segment.dropFirst(64))
        let file = mended(Array(segment.prefix(64)) + [UInt8](repeating: 0, count: max(0, 64 - segment.count)), records: records)
        await put(file, number: 1, on: disk)
        if flags & 16 != 0 { await put(file, number: 2, on: disk) }
        var options = options
        options.corruption = flags & 1 == 0 ? .refuse : .skip
        options.recoverPayloads = flags & 2 == 0
        var found = 0
        guard
            let journal = try? await Journal.open(
                environment: world.node(1, disk: disk), directory: directory, options: options, log: quiet, visit: { _ in found += 1 })
        else { return }
        for part in journal.segments {
            var position: JournalPosition? = journal.firstPosition(of: part.number)
            while let at = position, let record = try? await journal.record(at: at) { position = record.next.position }
        }
        guard let appended = try? await journal.append(type: 3, header: [9, 9]) else { return }
        var again: [JournalRecord] = []
        let reopened: Journal
        do throws(JournalError) {
            reopened = try await Journal.open(environment: world.node(1, disk: disk), directory: directory, options: options, log: quiet) {
                if case .record(let record) = $0 { again.append(record) }
            }
        } catch { throw Violation("a journal that was opened and appended to does not open again: \(error)") }
        try require(
            again.last?.sequence == appended.sequence && again.last?.header.array == [9, 9] && reopened.end == appended.next,
            "a record that was appended is not the last one after opening again")
    }

    @LoopActor
    static func put(_ bytes: [UInt8], number: UInt64, in directory: String = "/journal", on disk: MemoryDisk) async {
        try? await disk.createDirectory(directory)
        guard let file = try? await disk.open(directory + "/" + SegmentHeader.name(of: number), .createNew) else { return }
        var bytes = bytes
        // The second segment says so; whether it follows the first is up to the first.
        if number == 2 {
            store(number, in: &bytes, at: 32)
            bytes = mended(Array(bytes.prefix(64)), records: Array(bytes.dropFirst(SegmentHeader.count)))
        }
        try? await file.write([Slice(copying: bytes)], at: 0, sync: true)
    }

    private static func load<Value: FixedWidthInteger>(_ type: Value.Type, _ bytes: [UInt8], _ place: Int) -> Value {
        bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: Value.self)) }
    }

    private static func store<Value: FixedWidthInteger>(_ value: Value, in bytes: inout [UInt8], at place: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: place, as: Value.self) }
    }
}
