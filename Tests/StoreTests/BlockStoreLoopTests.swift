import BlockStore
import Bytes
import Digest
import Model
import OrderedStore
import Runtime
import TestSupport
import Testing

/// Every operation of a block store's life fails in every way, at the disk and at the index, and so does every operation of the recovery from that.
@Suite struct BlockStoreLoopTests {
    private static let size = 4000

    /// What a store was told: blocks that must be there, that must not be, and that may be.
    struct Ledger {
        var present: Set<Int> = []
        var absent: Set<Int> = []
        var unknown: Set<Int> = []
    }

    @LoopActor private final class Life {
        let harness: StoreHarness
        var ledger = Ledger()

        init(_ harness: StoreHarness) { self.harness = harness }

        /// - Parameter middle: called when about half is done.
        func run(middle: @LoopActor () -> Void = {}) async {
            do throws(BlockStoreError) {
                let store = try await harness.open()
                for number in 0..<12 { try await put(store, [number]) }
                try await put(store, Array(12..<20))
                middle()
                try await delete(store, (0..<20).filter { $0 % 4 != 0 })
                while try await store.compactOnce() {}
                try await put(store, [1, 2, 30, 31])
                try await delete(store, [4, 30])
                for number in 40..<52 { try await put(store, [number]) }
                try await delete(store, Array(40..<51))
                while try await store.compactOnce() {}
                try await put(store, [5, 60])
                try await store.close()
            } catch {}
        }

        /// All at once.
        private func put(_ store: BlockStore, _ numbers: [Int]) async throws(BlockStoreError) {
            ledger.unknown.formUnion(numbers)
            ledger.absent.subtract(numbers)
            var failure: BlockStoreError?
            let puts = numbers.map { number in
                Task { @LoopActor () -> BlockStoreError? in
                    do throws(BlockStoreError) { try await self.harness.fill(store, [number], count: BlockStoreLoopTests.size) } catch { return error }
                    self.ledger.unknown.remove(number)
                    self.ledger.present.insert(number)
                    return nil
                }
            }
            for put in puts { if let error = await put.value { failure = error } }
            // A full disk costs this block and nothing else.
            if let failure, failure.code != .noSpace { throw failure }
        }

        private func delete(_ store: BlockStore, _ numbers: [Int]) async throws(BlockStoreError) {
            ledger.present.subtract(numbers)
            ledger.unknown.formUnion(numbers)
            do throws(BlockStoreError) {
                try await store.delete(numbers.map { StoreHarness.key($0, count: BlockStoreLoopTests.size) })
            } catch {
                if error.code != .noSpace { throw error }
                return
            }
            ledger.unknown.subtract(numbers)
            ledger.absent.formUnion(numbers)
        }
    }

    private static let all = Array(0..<64)

    @LoopActor private func harness() -> StoreHarness {
        let harness = StoreHarness(segmentBytes: 64 << 10)
        harness.options.indexFlushBytes = 30_000
        harness.medium = StoreMedium()
        harness.process = harness.disk.process()
        return harness
    }

    @LoopActor private func powerLoss(_ harness: StoreHarness) {
        harness.disk.crash()
        harness.medium?.crash(.power)
        harness.process = harness.disk.process()
    }

    @LoopActor private func listed(_ store: BlockStore) throws(BlockStoreError) -> Set<Int> {
        let keys = Set(try store.list(after: nil, limit: 1000).map(\.key))
        return Set(Self.all.filter { keys.contains(StoreHarness.key($0, count: Self.size)) })
    }

    /// The store opens, holds what it must and nothing that it must not, and holds that for good, with every state that the index may be in.
    @LoopActor private func check(_ harness: StoreHarness, _ ledger: Ledger, older: StoreMedium?, _ what: String) async throws {
        harness.process = harness.disk.process()
        var seen: Set<Int> = []
        do {
            let store = try await harness.open()
            seen = try listed(store)
            #expect(seen.isSuperset(of: ledger.present), "\(what): lost \(ledger.present.subtracting(seen).sorted())")
            #expect(seen.isDisjoint(with: ledger.absent), "\(what): came back \(ledger.absent.intersection(seen).sorted())")
            #expect(await harness.holds(store, seen, count: Self.size), "\(what)")
            #expect(try store.quarantined().isEmpty, "\(what)")
        }
        powerLoss(harness)
        let kept = harness.medium
        for (name, medium) in [("kept", kept), ("older", older?.durableCopy()), ("lost", StoreMedium())] {
            guard let medium else { continue }
            harness.medium = medium
            let store = try await harness.open()
            // What was handed out counts as durable.
            #expect(try listed(store) == seen, "\(what), index \(name)")
            #expect(await harness.holds(store, seen, count: Self.size), "\(what), index \(name)")
            powerLoss(harness)
        }
        let store = try await harness.open()
        while try await store.compactOnce() {}
        try await harness.fill(store, [62], count: Self.size)
        powerLoss(harness)
        let last = try await harness.open()
        #expect(try listed(last) == seen.union([62]), "\(what), after a compaction and a put")
        #expect(await harness.holds(last, seen.union([62]), count: Self.size), "\(what), after a compaction and a put")
    }

    @LoopActor private func crashIndex(_ harness: StoreHarness, _ aftermath: FaultPlan.Aftermath, seed: Int) {
        let random = SeededRandom(seed: UInt64(seed))
        harness.medium?.crash(aftermath == .restart ? .process : .power) { bound in LoopActor.assumeIsolated { seed % 2 == 0 ? 0 : random.below(bound) } }
    }

    @Test @LoopActor func everyOperationGoesWrong() async throws {
        for (fault, aftermath) in FaultPlan.kinds {
            var number = 0
            while true {
                number += 1
                let plan = FaultPlan(operation: number, fault: fault, aftermath: aftermath)
                let harness = harness()
                let life = Life(harness)
                guard let process = harness.process else { return }
                var older: StoreMedium?
                let isReached = await plan.strike(harness.disk, process) {
                    await life.run { older = harness.medium?.durableCopy() }
                }
                let ledger = life.ledger
                plan.follow(harness.disk, process, seed: UInt64(number))
                crashIndex(harness, aftermath, seed: number)
                try await check(harness, ledger, older: older, "\(plan)")
                process.release()
                if !isReached { break }
            }
            #expect(number > 90)
        }
    }

    @Test @LoopActor func everyRecoveryGoesWrong() async throws {
        var runs = 0
        for number in stride(from: 5, to: 120, by: 23) {
            for (index, (fault, aftermath)) in FaultPlan.kinds.enumerated() {
                let first = FaultPlan(operation: number, fault: .deathAfter, aftermath: FaultPlan.Aftermath.allCases[(number + index) % 3])
                var second = 0
                while true {
                    second += 1
                    let harness = harness()
                    let life = Life(harness)
                    guard let process = harness.process else { return }
                    _ = await first.strike(harness.disk, process) { await life.run() }
                    let ledger = life.ledger
                    first.follow(harness.disk, process, seed: UInt64(number))
                    crashIndex(harness, first.aftermath, seed: number)
                    // Now and then the index is lost as well.
                    if index % 3 == 0 { harness.medium = StoreMedium() }
                    let plan = FaultPlan(operation: second, fault: fault, aftermath: aftermath)
                    let heir = harness.disk.process()
                    harness.process = heir
                    let isReached = await plan.strike(harness.disk, heir) { _ = try? await harness.open() }
                    plan.follow(harness.disk, heir, seed: UInt64(second))
                    crashIndex(harness, aftermath, seed: second)
                    try await check(harness, ledger, older: nil, "\(first), then \(plan)")
                    process.release()
                    heir.release()
                    runs += 1
                    if !isReached { break }
                }
            }
        }
        #expect(runs > 500)
    }

    /// The index fails, or the process dies there.
    @Test(arguments: [StoreError.Code.failed, .noSpace, nil]) @LoopActor func everyIndexOperationGoesWrong(code: StoreError.Code?) async throws {
        var number = 0
        while true {
            number += 1
            for aftermath in FaultPlan.Aftermath.allCases {
                let harness = harness()
                let life = Life(harness)
                guard let process = harness.process, let medium = harness.medium else { return }
                var left = number
                medium.fault = { [weak process] operation in
                    guard operation != .read else { return nil }
                    left -= 1
                    guard left == 0 else { return nil }
                    if code == nil { LoopActor.assumeIsolated { process?.kill() } }
                    return code ?? .failed
                }
                let plan = FaultPlan(operation: .max / 2, fault: .error, aftermath: aftermath)
                _ = await plan.strike(harness.disk, process) { await life.run() }
                let ledger = life.ledger
                medium.fault = nil
                plan.follow(harness.disk, process, seed: UInt64(number))
                crashIndex(harness, aftermath, seed: number)
                try await check(harness, ledger, older: nil, "index operation \(number), \(String(describing: code)), \(aftermath)")
                process.release()
                if left > 0 && aftermath == .partialLoss {
                    #expect(number > 60)
                    return
                }
            }
        }
    }

    /// The segments are older than the index: an old copy was restored, or a disk told of syncs that it did not do. What is gone is gone, but
    /// nothing wrong is served, nothing is taken for present that is not, and a put brings it back.
    @Test @LoopActor func anIndexNewerThanTheSegmentsIsNotBelieved() async throws {
        var lost = 0
        for cut in 0..<60 {
            let harness = harness()
            harness.options.indexFlushBytes = cut % 2 == 0 ? 1 : 30_000
            let store = try await harness.open()
            var image: MemoryDiskImage?
            for number in 0..<30 {
                if number == cut / 2 { image = harness.disk.image() }
                try await harness.fill(store, [number], count: Self.size)
                if number == 20 { try await store.delete((0..<18).map { StoreHarness.key($0, count: Self.size) }) }
                if number == 25 { while try await store.compactOnce() {} }
            }
            try await store.close()
            harness.disk.restore(try #require(image))
            harness.medium?.crash(.power)
            harness.process = harness.disk.process()
            let again = try await harness.open()
            let seen = try listed(again)
            #expect(await harness.holds(again, seen, count: Self.size), "cut \(cut)")
            lost += 30 - seen.count
            try await harness.fill(again, 0..<30, count: Self.size)
            #expect(await harness.holds(again, 0..<30, count: Self.size), "cut \(cut)")
            powerLoss(harness)
            harness.medium = StoreMedium()
            #expect(await harness.holds(try await harness.open(), 0..<30, count: Self.size), "cut \(cut), rebuilt")
        }
        #expect(lost > 100)
    }
}
