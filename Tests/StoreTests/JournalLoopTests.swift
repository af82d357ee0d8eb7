import Bytes
import Journal
import Runtime
import TestSupport
import Testing

/// Every operation of a journal's life fails in every way, and so does every operation of the recovery from that.
@Suite struct JournalLoopTests {
    /// What a journal may be asked for after a run.
    struct Ledger {
        /// Records that were given to it and not taken back, oldest first.
        var records: [Int] = []
        /// So many of them were durable.
        var durable = 0
        /// So many of the oldest are gone for sure, and so many may be.
        var removed = 0
        var removable = 0
        var places: [Int: JournalPosition] = [:]

        /// Whether this is what a journal may hold.
        func allows(_ found: [Int]) -> Bool {
            (removed...removable).contains { start in
                found.count <= records.count - start && found == Array(records[start..<start + found.count]) && start + found.count >= durable
            }
        }
    }

    /// A life with everything in it.
    @LoopActor private final class Life {
        let harness: JournalHarness
        var ledger = Ledger()
        private var next = 0

        init(_ harness: JournalHarness) { self.harness = harness }

        static func size(of record: Int) -> Int { 300 + record * 2311 % 9000 + (record > 60 && record < 200 ? 60_000 : 0) }

        func run() async {
            do throws(JournalError) {
                let journal = try await harness.open()
                for _ in 0..<9 { try await append(journal) }
                try await appendTogether(journal)
                try await append(journal, sync: false)
                try await append(journal, sync: false)
                let count = ledger.records.count
                try await journal.sync()
                ledger.durable = max(ledger.durable, count)
                try await truncate(journal, to: 11)
                for _ in 0..<3 { try await append(journal) }
                try await truncate(journal, to: 4)
                for _ in 0..<6 { try await append(journal) }
                try await journal.roll()
                for _ in 0..<2 { try await append(journal) }
                try await remove(journal)
                try await append(journal, sync: false)
                for _ in 0..<9 { try await append(journal) }
                try await remove(journal)
                try await appendTogether(journal)
            } catch {}
        }

        /// Many groups, large enough for zeros to be written beside them.
        func runLarge() async {
            do throws(JournalError) {
                let journal = try await harness.open()
                for round in 0..<30 {
                    try await appendTogether(journal)
                    if round == 10 { try await truncate(journal, to: 30) }
                    if round == 20 { try await remove(journal) }
                }
            } catch {}
        }

        private func append(_ journal: Journal, sync: Bool = true) async throws(JournalError) {
            let number = next
            next += 1
            ledger.records.append(number)
            do throws(JournalError) {
                let appended = try await journal.append(
                    type: 1, header: [UInt8(number)], payload: JournalHarness.payload(number, count: Self.size(of: number)), sync: sync)
                ledger.places[number] = appended.position
                if sync, let place = ledger.records.firstIndex(of: number) { ledger.durable = max(ledger.durable, place + 1) }
            } catch {
                // A full disk costs this record and nothing else.
                guard error.code == .noSpace, !journal.hasFailed else { throw error }
                ledger.records.removeAll { $0 == number }
            }
        }

        private func appendTogether(_ journal: Journal) async throws(JournalError) {
            let tasks = (0..<4).map { index in
                Task { @LoopActor () -> JournalError? in
                    do throws(JournalError) { try await self.append(journal, sync: index != 1) } catch { return error }
                    return nil
                }
            }
            var failure: JournalError?
            for task in tasks { if let error = await task.value { failure = error } }
            if let failure { throw failure }
        }

        private func truncate(_ journal: Journal, to count: Int) async throws(JournalError) {
            guard ledger.records.count > count, let place = ledger.places[ledger.records[count]] else { return }
            ledger.durable = min(ledger.durable, count)
            try await journal.truncate(from: place)
            ledger.records.removeLast(ledger.records.count - count)
            ledger.durable = count
        }

        private func remove(_ journal: Journal) async throws(JournalError) {
            guard let last = journal.segments.last?.number else { return }
            let count = ledger.records.prefix { (ledger.places[$0]?.segment ?? last) < last }.count
            ledger.removable = count
            do throws(JournalError) { try await journal.removeSegments(before: last) } catch {
                guard !journal.hasFailed else { throw error }
                return
            }
            ledger.removed = count
        }
    }

    @LoopActor private func found(_ harness: JournalHarness) -> [Int] { harness.records.map { Int($0.header.array.first ?? 255) } }

    /// What the journal holds is whole.
    @LoopActor private func expectWhole(_ harness: JournalHarness, _ what: String) {
        for record in harness.records {
            let number = Int(record.header.array.first ?? 255)
            #expect(record.payload.array == JournalHarness.bytes(number, count: Life.size(of: number)), "\(what)")
        }
    }

    /// The journal opens, holds what it must, and holds that for good.
    @LoopActor private func check(_ harness: JournalHarness, _ ledger: Ledger, _ what: String) async throws {
        harness.process = harness.disk.process()
        let journal = try await harness.open()
        let seen = found(harness)
        #expect(ledger.allows(seen), "\(what): \(seen) of \(ledger.records), durable \(ledger.durable), removed \(ledger.removed) to \(ledger.removable)")
        expectWhole(harness, what)
        // What it handed out counts as durable, whatever was told of it before.
        harness.disk.crash()
        harness.process = harness.disk.process()
        let again = try await harness.open()
        #expect(found(harness) == seen, "\(what), after power loss")
        expectWhole(harness, what)
        // It is usable, and what it takes now stays.
        try await again.append(type: 1, header: [200], payload: JournalHarness.payload(200, count: Life.size(of: 200)))
        harness.disk.crash()
        harness.process = harness.disk.process()
        _ = try await harness.open()
        #expect(found(harness) == seen + [200], "\(what), after an append")
        withExtendedLifetime(journal) {}
    }

    @LoopActor private func harness(_ zeroFill: Bool) -> JournalHarness {
        let harness = JournalHarness()
        harness.options.zeroFill = zeroFill
        harness.process = harness.disk.process()
        return harness
    }

    @Test(arguments: [false, true]) @LoopActor func everyOperationGoesWrong(zeroFill: Bool) async throws {
        for (fault, aftermath) in FaultPlan.kinds {
            var number = 0
            while true {
                number += 1
                let plan = FaultPlan(operation: number, fault: fault, aftermath: aftermath)
                let harness = harness(zeroFill)
                let life = Life(harness)
                guard let process = harness.process else { return }
                let isReached = await plan.strike(harness.disk, process) { await life.run() }
                let ledger = life.ledger
                plan.follow(harness.disk, process, seed: UInt64(number))
                try await check(harness, ledger, "\(plan)")
                process.release()
                if !isReached { break }
            }
            #expect(number > 100)
        }
    }

    /// The first fault ends a life, the second one the opening after it.
    @Test @LoopActor func everyRecoveryGoesWrong() async throws {
        var runs = 0
        for number in stride(from: 3, to: 120, by: 19) {
            for (index, (fault, aftermath)) in FaultPlan.kinds.enumerated() {
                let first = FaultPlan(operation: number, fault: .deathAfter, aftermath: FaultPlan.Aftermath.allCases[(number + index) % 3])
                var second = 0
                while true {
                    second += 1
                    let harness = harness(number % 2 == 0)
                    let life = Life(harness)
                    guard let process = harness.process else { return }
                    _ = await first.strike(harness.disk, process) { await life.run() }
                    let ledger = life.ledger
                    first.follow(harness.disk, process, seed: UInt64(number))
                    let plan = FaultPlan(operation: second, fault: fault, aftermath: aftermath)
                    let heir = harness.disk.process()
                    harness.process = heir
                    let isReached = await plan.strike(harness.disk, heir) { _ = await harness.openCode() }
                    plan.follow(harness.disk, heir, seed: UInt64(second))
                    try await check(harness, ledger, "\(first), then \(plan)")
                    process.release()
                    heir.release()
                    runs += 1
                    if !isReached { break }
                }
            }
        }
        #expect(runs > 1000)
    }

    /// A slow disk, so that writes, syncs and zeros overlap, with faults and deaths by chance.
    @Test(arguments: 1...2 as ClosedRange<UInt64>) @LoopActor func lifeOnASlowDisk(part: UInt64) async throws {
        for seed in part * 1000..<part * 1000 + 60 {
            let random = SeededRandom(seed: seed)
            let harness = JournalHarness(isSlow: true, seed: seed)
            // Zeros are written in steps of 1 MiB.
            harness.options.zeroFill = random.below(4) > 0
            harness.options.segmentBytes = 4 << 20
            let disk = harness.disk
            disk.latency = .solidState
            let probability = [0, 5000, 30_000][random.below(3)]
            disk.faults.syncErrors = probability
            disk.faults.writeErrors = probability / 4
            disk.faults.shortWrites = probability / 4
            disk.faults.nameErrors = probability / 4
            let process = disk.process()
            harness.process = process
            if random.below(2) == 0 { process.end = (1 + random.below(150), random.below(2) == 0) }
            let life = Life(harness)
            var isOver = false
            process.onDeath = { isOver = true }
            Task { @LoopActor in
                await life.runLarge()
                isOver = true
            }
            while !isOver, await harness.world.clock.advanceToNextTimer(turns: 20) {}
            let ledger = life.ledger
            let aftermath = FaultPlan.Aftermath.allCases[random.below(3)]
            process.kill(random: random)
            disk.latency = nil
            disk.faults = MemoryDiskFaults()
            switch aftermath {
            case .restart: break
            case .powerLoss: disk.crash()
            case .partialLoss: disk.crash(random: random)
            }
            try await check(harness, ledger, "seed \(seed)")
            process.release()
        }
    }
}
