import Bytes
import Journal
import Model
import Runtime
import TestSupport
import Testing

@Suite struct JournalTests {
    @Test @LoopActor func whatWasAppendedIsFoundAgain() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        #expect(harness.found.isEmpty)
        let counts = [0, 1, 4095, 4096, 4097, 10_000, 40_000, 200_000]
        for (number, count) in counts.enumerated() {
            let appended = try await journal.append(
                type: UInt8(number + 1), header: Array(repeating: 5, count: number), payload: JournalHarness.payload(number, count: count))
            let record = try await journal.read(at: appended.position, length: appended.length)
            #expect(record.payload.array == JournalHarness.bytes(number, count: count))
            #expect(record.header.count == number)
        }
        _ = try await harness.open()
        #expect(harness.payloads == counts.enumerated().map { JournalHarness.bytes($0, count: $1) })
        #expect(harness.records.map(\.type) == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(harness.records.map(\.header.count) == Array(0..<8))
    }

    @Test @LoopActor func segmentsFollowEachOther() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<300)
        let segments = journal.segments
        #expect(segments.count > 4)
        #expect(segments.map(\.number) == Array(1...UInt64(segments.count)))
        #expect(segments.dropLast().map(\.sealed).contains(false) == false)
        let again = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents(0..<300))
        #expect(again.end == journal.end)
        try await harness.fill(again, 300..<310)
        _ = try await harness.open()
        #expect(harness.records.count == 310)
    }

    @Test @LoopActor func concurrentAppendsShareOneSync() async throws {
        let harness = JournalHarness(segmentBytes: 1 << 20)
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<1)
        var syncs = 0
        harness.disk.fault = { operation, _ in
            if operation == .sync { syncs += 1 }
            return nil
        }
        let tasks = (0..<40).map { number in
            Task { @LoopActor () -> JournalAppended in
                try await journal.append(type: 1, header: [], payload: JournalHarness.payload(number, count: 1000))
            }
        }
        var appended: [JournalAppended] = []
        for task in tasks { appended.append(try await task.value) }
        // 40 records of about 1 KiB fit in one group; the first of them may have gone alone.
        #expect((1...2).contains(syncs))
        #expect(zip(appended, appended.dropFirst()).allSatisfy { $0.sequence + 1 == $1.sequence && $0.position < $1.position })
        harness.disk.fault = nil
        harness.disk.crash()
        _ = try await harness.open()
        #expect(harness.records.count == 41)
    }

    @Test @LoopActor func onlySyncedRecordsSurviveACrash() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<5)
        try await journal.append(type: 1, header: [], payload: JournalHarness.payload(5, count: 10), sync: false)
        harness.disk.crash()
        let again = try await harness.open()
        #expect(harness.records.count == 5)
        try await again.append(type: 1, header: [], payload: JournalHarness.payload(6, count: 10), sync: false)
        try await again.append(type: 1, header: [], payload: JournalHarness.payload(7, count: 10), sync: false)
        try await again.sync()
        harness.disk.crash()
        _ = try await harness.open()
        #expect(Array(harness.payloads.suffix(2)) == JournalHarness.contents([6, 7], count: 10))
    }

    @Test @LoopActor func recoveryStartsWhereItIsTold() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        let appended = try await harness.fill(journal, 0..<200)
        for start in [0, 1, 55, 56, 57, 58, 59, 60, 61, 120, 198, 199] {
            let again = try await harness.open(from: appended[start].next)
            #expect(harness.payloads == JournalHarness.contents(start + 1..<200))
            #expect(again.end == journal.end)
        }
        let beyond = JournalCursor(position: JournalPosition(segment: 99, offset: 4096), sequence: 1, previous: 0)
        #expect(await harness.openCode(from: beyond) == .invalid)
    }

    @Test @LoopActor func headersAloneOfFullSegments() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<100, count: 5000)
        harness.options.recoverPayloads = false
        _ = try await harness.open()
        #expect(harness.records.count == 100)
        #expect(harness.records.allSatisfy { $0.payloadCount == 5000 })
        #expect(harness.records.first?.payload.isEmpty == true)
        #expect(harness.records.last?.payload.count == 5000)
    }

    @Test(arguments: [0, 1, 2, 55, 56, 57, 58, 120, 199]) @LoopActor func truncationAnywhere(target: Int) async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        let appended = try await harness.fill(journal, 0..<200)
        try await journal.truncate(from: appended[target].position)
        #expect(journal.end.sequence == appended[target].sequence)
        harness.disk.crash()
        let again = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents(0..<target))
        #expect(again.end.sequence == appended[target].sequence)
        try await harness.fill(again, 500..<520)
        harness.disk.crash()
        _ = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents(Array(0..<target) + Array(500..<520)))
    }

    @Test @LoopActor func truncationNeedsARecord() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<3)
        await #expect(throws: JournalError.self) { try await journal.truncate(from: JournalPosition(segment: 1, offset: 4104)) }
        await #expect(throws: JournalError.self) { try await journal.truncate(from: JournalPosition(segment: 2, offset: 4096)) }
        try await journal.truncate(from: journal.end.position)
        try await harness.fill(journal, 3..<4)
        _ = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents(0..<4))
    }

    @Test @LoopActor func oldSegmentsGo() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        let appended = try await harness.fill(journal, 0..<200)
        let cut = appended[120].position.segment
        try await journal.removeSegments(before: cut)
        harness.disk.crash()
        let again = try await harness.open()
        #expect(again.segments.first?.number == cut)
        let firstKept = try #require(appended.firstIndex { $0.position.segment == cut })
        #expect(harness.payloads == JournalHarness.contents(firstKept..<200))
        #expect(again.end == journal.end)
    }

    @Test @LoopActor func foreignAndNewerSegmentsAreRefused() async throws {
        let harness = JournalHarness()
        try await harness.fill(try await harness.open(), 0..<1)
        let other = JournalHarness(disk: harness.disk)
        let good = other.options
        other.options.node = NodeID(rawValue: 2)
        #expect(await other.openCode() == .foreign)
        other.options = good
        other.options.cluster = ClusterID(rawValue: 8)
        #expect(await other.openCode() == .foreign)
        other.options = good
        other.options.use = 9
        #expect(await other.openCode() == .foreign)
        other.options = good
        #expect(await other.openCode() == nil)
        harness.disk.corrupt(harness.path(1)) { bytes in
            bytes[8] = 2
            let checksum = CRC32C.checksum(Array(bytes[..<64]))
            for index in 0..<4 { bytes[64 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * index)) }
        }
        #expect(await harness.openCode() == .foreign)
    }

    @Test @LoopActor func limitsAreKept() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        await #expect(throws: JournalError.self) { try await journal.append(type: 0, header: []) }
        await #expect(throws: JournalError.self) { try await journal.append(type: 128, header: []) }
        await #expect(throws: JournalError.self) { try await journal.append(type: 1, header: [UInt8](repeating: 0, count: (64 << 10) + 1)) }
        await #expect(throws: JournalError.self) {
            try await journal.append(type: 1, header: [], payload: JournalHarness.payload(1, count: (1 << 20) + 1))
        }
        try await journal.append(type: 127, header: [UInt8](repeating: 0, count: 64 << 10), payload: JournalHarness.payload(1, count: 1 << 20))
    }

    @Test @LoopActor func zerosAheadChangeNothing() async throws {
        let harness = JournalHarness(segmentBytes: 4 << 20)
        harness.options.zeroFill = true
        let journal = try await harness.open()
        for turn in 0..<60 {
            let tasks = (0..<5).map { number in
                Task { @LoopActor () -> Void in
                    try await journal.append(type: 1, header: [], payload: JournalHarness.payload(turn * 5 + number, count: 20_000))
                }
            }
            for task in tasks { try await task.value }
        }
        #expect(journal.segments.count > 1)
        harness.disk.crash()
        _ = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents(0..<300, count: 20_000))
    }

    @Test @LoopActor func partsAreCheckedOnTheirOwn() async throws {
        let harness = JournalHarness(segmentBytes: 1 << 20)
        let journal = try await harness.open()
        let bytes = JournalHarness.bytes(3, count: 200_001)
        let appended = try await journal.append(type: 1, header: [1, 2, 3], payload: JournalPayload(Slice(copying: bytes)))
        // The last byte of page 30.
        let front = 56 + 3 + 49 * 4
        harness.disk.corrupt(harness.path(1)) { $0[Int(appended.position.offset) + front + 31 * 4096 - 1] ^= 1 }
        for range in [0..<1, 0..<4096, 4095..<4097, 100_000..<100_001, 0..<30 * 4096, 31 * 4096..<200_001, 200_000..<200_001, 5..<5] {
            let part = try await journal.read(at: appended.position, headerCount: 3, payloadCount: 200_001, range: range)
            #expect(part.bytes.array == Array(bytes[range]))
            #expect(part.header.array == [1, 2, 3])
        }
        for range in [30 * 4096..<30 * 4096 + 1, 0..<200_001, 31 * 4096 - 1..<31 * 4096 + 1] {
            await #expect(throws: JournalError.self) {
                try await journal.read(at: appended.position, headerCount: 3, payloadCount: 200_001, range: range)
            }
        }
    }
}
