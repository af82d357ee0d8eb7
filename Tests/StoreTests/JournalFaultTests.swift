import Bytes
import Journal
import Runtime
import TestSupport
import Testing

@Suite struct JournalFaultTests {
    /// Appends until an error, and returns how many records must be found, how many may be, and whether there was an error.
    @LoopActor private func run(_ harness: JournalHarness) async -> (must: Int, may: Int, failed: Bool) {
        var done = 0
        do throws(JournalError) {
            let journal = try await harness.open()
            while done < 40 {
                try await journal.append(type: 1, header: [], payload: JournalHarness.payload(done, count: 4000))
                done += 1
            }
            return (done, done, false)
        } catch {
            return (done, done + 1, true)
        }
    }

    @LoopActor private func check(_ harness: JournalHarness, must: Int, may: Int, _ what: String) async throws {
        let journal = try await harness.open()
        let count = harness.payloads.count
        #expect(count >= must && count <= may, "\(what)")
        #expect(harness.payloads == JournalHarness.contents(0..<count, count: 4000), "\(what)")
        // It is usable, and what it takes now stays.
        try await journal.append(type: 2, header: [9])
        harness.disk.crash()
        _ = try await harness.open()
        #expect(harness.records.count == count + 1, "\(what)")
        #expect(harness.records.last?.header.array == [9])
    }

    @Test(arguments: [DiskError.Code.failed, .noSpace]) @LoopActor func everyOperationFailsOnce(code: DiskError.Code) async throws {
        var number = 0
        var faults = 0
        while true {
            number += 1
            let harness = JournalHarness()
            harness.disk.failingOperation = (number, code)
            let result = await run(harness)
            if harness.disk.failingOperation != nil { break }
            if result.failed { faults += 1 }
            harness.disk.crash(random: number % 2 == 0 ? SeededRandom(seed: UInt64(number)) : nil)
            try await check(harness, must: result.must, may: result.may, "operation \(number) \(code)")
        }
        #expect(number > 80)
        #expect(faults > 80)
    }

    @Test @LoopActor func afterAFullDiskTheJournalGoesOn() async throws {
        var number = 0
        while true {
            number += 1
            let harness = JournalHarness()
            guard let journal = try? await harness.open() else { continue }
            harness.disk.failingOperation = (harness.disk.operations + number, .noSpace)
            var stored: [Int] = []
            for record in 0..<70 {
                if await harness.fillCode(journal, record..<record + 1) == nil { stored.append(record) }
            }
            if harness.disk.failingOperation != nil { break }
            // A failure of giving back room behind a seal, or of cutting, ends it; every other one costs one record.
            if !journal.hasFailed { #expect(stored.count >= 69, "operation \(number)") }
            harness.disk.crash()
            _ = try await harness.open()
            #expect(harness.payloads == JournalHarness.contents(stored), "operation \(number)")
        }
        #expect(number > 70)
    }

    @Test @LoopActor func everyOperationMayBeTheLast() async throws {
        var number = 0
        while true {
            number += 1
            let harness = JournalHarness()
            let disk = harness.disk
            var isOver = false
            // From operation `number` on nothing works, as if the power had gone.
            disk.fault = { [unowned disk, number] _, _ in
                if disk.operations >= number { isOver = true }
                return isOver ? .failed : nil
            }
            let result = await run(harness)
            disk.fault = nil
            disk.crash(random: SeededRandom(seed: UInt64(number)))
            try await check(harness, must: result.must, may: result.may, "crash at \(number)")
            if !isOver { break }
        }
        #expect(number > 80)
    }

    @Test @LoopActor func truncationSurvivesACrashAnywhere() async throws {
        var number = 0
        while true {
            number += 1
            let harness = JournalHarness()
            let journal = try await harness.open()
            let appended = try await harness.fill(journal, 0..<150)
            let disk = harness.disk
            let start = disk.operations
            var isOver = false
            disk.fault = { [unowned disk, number] _, _ in
                if disk.operations >= start + number { isOver = true }
                return isOver ? .failed : nil
            }
            let cut: Void? = try? await journal.truncate(from: appended[20].position)
            disk.fault = nil
            disk.crash(random: SeededRandom(seed: UInt64(number)))
            _ = try await harness.open()
            #expect(cut == nil ? harness.records.count >= 20 : harness.records.count == 20)
            #expect(harness.payloads == JournalHarness.contents(0..<harness.records.count))
            if !isOver { break }
        }
        #expect(number > 4)
    }

    @Test @LoopActor func tornTailsOfEveryLengthAreCut() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<3, count: 100)
        let last = try await journal.append(type: 1, header: [1, 2, 3], payload: JournalHarness.payload(3, count: 300))
        let whole = try #require(harness.disk.content(harness.path(1)))
        let start = Int(last.position.offset)
        for length in 0..<last.length - 8 {
            // The end of the record was not written: room behind it is zero, or the file ends there.
            for isShort in [false, true] {
                harness.disk.corrupt(harness.path(1)) { bytes in
                    bytes = Array(whole[..<(start + length)])
                    if !isShort { bytes += [UInt8](repeating: 0, count: whole.count - bytes.count) }
                }
                let again = try await harness.open()
                #expect(harness.records.count == 3, "length \(length)")
                try await again.append(type: 1, header: [], payload: JournalHarness.payload(9, count: 50))
                harness.disk.crash()
                _ = try await harness.open()
                #expect(harness.records.count == 4)
                #expect(harness.payloads.last == JournalHarness.bytes(9, count: 50))
            }
        }
    }

    @Test @LoopActor func aTornGroupIsCutThoughItsEndIsWhole() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<3)
        let first = try await journal.append(type: 1, header: [], payload: JournalHarness.payload(3, count: 1000), sync: false)
        try await journal.append(type: 1, header: [], payload: JournalHarness.payload(4, count: 1000), sync: false)
        harness.disk.corrupt(harness.path(1)) { $0[Int(first.position.offset) + 500] ^= 0x10 }
        let again = try await harness.open()
        #expect(harness.records.count == 3)
        try await harness.fill(again, 5..<6)
        _ = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents([0, 1, 2, 5]))
    }

    @Test @LoopActor func damageBeforeTheTailIsNeverCut() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        let appended = try await harness.fill(journal, 0..<100)
        for record in [appended[2], appended[30], appended[98]] {
            // Every byte of head, header and checksums, and some of the payload.
            for place in Array(0..<61) + [100, 500, 900, 1060] {
                let path = harness.path(record.position.segment)
                let offset = Int(record.position.offset) + place
                harness.disk.corrupt(path) { $0[offset] ^= 0x40 }
                let before = harness.disk.content(path)
                harness.options.corruption = .refuse
                let code = await harness.openCode()
                #expect(code == .corrupt(segment: record.position.segment, offset: record.position.offset), "byte \(place)")
                #expect(harness.disk.content(path) == before)
                harness.options.corruption = .skip
                _ = try await harness.open()
                #expect(harness.records.filter(\.intact).count == 99, "byte \(place)")
                #expect(harness.records.last?.sequence == appended[99].sequence)
                harness.disk.corrupt(path) { $0[offset] ^= 0x40 }
            }
        }
        harness.options.corruption = .refuse
        _ = try await harness.open()
        #expect(harness.records.count == 100)
    }

    @Test @LoopActor func missingEndOfAFullSegmentIsDamage() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<150)
        harness.disk.corrupt(harness.path(1)) { $0.removeLast(56) }
        guard case .corrupt(1, _) = await harness.openCode() else {
            Issue.record("a segment without its end was accepted")
            return
        }
    }

    @Test @LoopActor func damagedSegmentHeaderIsDamage() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<100)
        for segment in [UInt64(1), 2] {
            for place in 0..<68 {
                harness.disk.corrupt(harness.path(segment)) { $0[place] ^= 1 }
                #expect(await harness.openCode() == .corrupt(segment: segment, offset: 0))
                harness.disk.corrupt(harness.path(segment)) { $0[place] ^= 1 }
            }
        }
    }

    @Test @LoopActor func oldContentIsNeverTakenForRecords() async throws {
        // What a removed segment left in recycled blocks looks like records.
        let harness = JournalHarness()
        let journal = try await harness.open()
        let appended = try await harness.fill(journal, 0..<60)
        let old = try #require(harness.disk.content(harness.path(1)))
        let position = journal.end.position
        #expect(position.segment == 2)
        // Also records of this very segment, at another place.
        let own = try #require(harness.disk.content(harness.path(2)))
        for source in [old[4096..<24_096], own[4096..<Int(position.offset)]] {
            harness.disk.corrupt(harness.path(2)) { bytes in
                bytes.replaceSubrange(Int(position.offset)..<Int(position.offset) + source.count, with: source)
            }
            let again = try await harness.open()
            #expect(harness.payloads == JournalHarness.contents(0..<60))
            #expect(again.end.sequence == appended[59].sequence + 1)
        }
    }

    @Test @LoopActor func recordsOfAnotherSegmentThatWouldFitAreNotTaken() async throws {
        // Same place, same sequence numbers: only the salt tells them apart.
        let harness = JournalHarness()
        let journal = try await harness.open()
        try await harness.fill(journal, 0..<3)
        let other = JournalHarness(seed: 2)
        try await other.fill(try await other.open(), 0..<6)
        let foreign = try #require(other.disk.content(other.path(1)))
        let end = Int(journal.end.position.offset)
        harness.disk.corrupt(harness.path(1)) { $0.replaceSubrange(end..., with: foreign[end...]) }
        _ = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents(0..<3))
    }

    @Test @LoopActor func aFailedSyncIsFinal() async throws {
        let harness = JournalHarness()
        let journal = try await harness.open()
        let appended = try await harness.fill(journal, 0..<3)
        harness.disk.fault = { operation, _ in operation == .sync ? .failed : nil }
        #expect(await harness.fillCode(journal, 3..<4) == .failed)
        harness.disk.fault = nil
        let operations = harness.disk.operations
        #expect(await harness.fillCode(journal, 4..<5) == .failed)
        await #expect(throws: JournalError.self) { try await journal.sync() }
        #expect(harness.disk.operations == operations)
        #expect(journal.hasFailed)
        // Reads go on.
        let record = try await journal.read(at: appended[0].position, length: appended[0].length)
        #expect(record.payload.array == JournalHarness.bytes(0, count: 1000))
        harness.disk.crash()
        _ = try await harness.open()
        #expect(harness.records.count == 3)
    }

    @Test @LoopActor func aFullDiskIsRefusedAndForgiven() async throws {
        let harness = JournalHarness(disk: MemoryDisk(capacity: 200 << 10))
        let journal = try await harness.open()
        var stored = 0
        while await harness.fillCode(journal, stored..<stored + 1) == nil { stored += 1 }
        #expect(await harness.fillCode(journal, 0..<1) == .noSpace)
        #expect(stored > 150)
        #expect(!journal.hasFailed)
        harness.disk.capacity += 100 << 10
        try await harness.fill(journal, 2000..<2020)
        harness.disk.crash()
        _ = try await harness.open()
        #expect(harness.payloads == JournalHarness.contents(Array(0..<stored) + Array(2000..<2020)))
    }

    @Test @LoopActor func theReserveIsForUrgentRecords() async throws {
        let harness = JournalHarness(disk: MemoryDisk(capacity: 400 << 10))
        harness.options.reserveBytes = 200 << 10
        let journal = try await harness.open()
        var count = 0
        while await harness.fillCode(journal, count..<count + 1) == nil { count += 1 }
        #expect(count > 100)
        for number in 0..<60 {
            try await journal.append(type: 1, header: [], payload: JournalHarness.payload(number, count: 1000), urgent: true)
        }
        #expect(await harness.fillCode(journal, 0..<1) == .noSpace)
        try await journal.removeSegments(before: 4)
        try await harness.fill(journal, 0..<1)
    }
}
