import Bytes
import Journal
import Model
import Runtime
import Telemetry
import TestSupport

/// A journal on a disk in memory that can crash, with what a test needs to say what must be there afterwards.
@LoopActor
final class JournalHarness {
    static let directory = "/journal"
    static let quiet = Log(component: "test", level: .error)
    let world: MemoryWorld
    let disk: MemoryDisk
    /// The process that uses the disk, where it matters that it can die.
    var process: MemoryDiskProcess?
    var options: JournalOptions
    var found: [JournalRecovery] = []

    init(segmentBytes: UInt64 = 64 << 10, disk: MemoryDisk? = nil, isSlow: Bool = false, seed: UInt64 = 1) {
        world = MemoryWorld(seed: seed)
        self.disk = disk ?? (isSlow ? MemoryDisk(clock: world.clock, random: SeededRandom(seed: seed ^ 0xD15C)) : MemoryDisk())
        options = JournalOptions(
            cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), use: 1, segmentBytes: segmentBytes, payloadMax: 1 << 20,
            groupBytesMax: 64 << 10)
    }

    /// The records of the last opening.
    var records: [JournalRecord] {
        found.compactMap { if case .record(let record) = $0 { record } else { nil } }
    }

    var payloads: [[UInt8]] { records.map(\.payload.array) }

    func open(from start: JournalCursor? = nil) async throws(JournalError) -> Journal {
        found = []
        return try await Journal.open(
            environment: world.node(1, disk: process ?? disk), directory: Self.directory, options: options, log: Self.quiet, from: start
        ) { found.append($0) }
    }

    static func payload(_ number: Int, count: Int) -> JournalPayload { JournalPayload(Slice(copying: bytes(number, count: count))) }

    private static var made: [[Int]: [UInt8]] = [:]

    /// Bytes that say who they are, and that look random.
    static func bytes(_ number: Int, count: Int) -> [UInt8] {
        if let known = made[[number, count]] { return known }
        var state = UInt64(number) &* 0x9E37_79B9_7F4A_7C15 | 1
        let bytes = (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        made[[number, count]] = bytes
        return bytes
    }

    static func contents(_ numbers: some Sequence<Int>, count: Int = 1000) -> [[UInt8]] { numbers.map { bytes($0, count: count) } }

    /// Appends records `range`, one after the other.
    @discardableResult
    func fill(_ journal: Journal, _ range: Range<Int>, count: Int = 1000) async throws(JournalError) -> [JournalAppended] {
        var result: [JournalAppended] = []
        for number in range {
            result.append(try await journal.append(type: 1, header: [UInt8(number & 0xFF)], payload: Self.payload(number, count: count)))
        }
        return result
    }

    /// Why `fill` fails; nil if it does not.
    func fillCode(_ journal: Journal, _ range: Range<Int>) async -> JournalError.Code? {
        do throws(JournalError) {
            try await fill(journal, range)
            return nil
        } catch {
            return error.code
        }
    }

    /// Why `open` fails; nil if it does not.
    func openCode(from start: JournalCursor? = nil) async -> JournalError.Code? {
        do throws(JournalError) {
            _ = try await open(from: start)
            return nil
        } catch {
            return error.code
        }
    }

    func path(_ segment: UInt64) -> String {
        let digits = String(segment, radix: 16)
        return Self.directory + "/" + String(repeating: "0", count: 16 - digits.count) + digits + ".segment"
    }
}
