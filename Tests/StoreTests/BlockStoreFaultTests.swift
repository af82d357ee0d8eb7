import BlockStore
import Bytes
import Digest
import Model
import OrderedStore
import Runtime
import TestSupport
import Testing

@Suite struct BlockStoreFaultTests {
    /// What a run was told: blocks that must be there, that must not, and that may.
    struct Outcome {
        var present: Set<Int> = []
        var absent: Set<Int> = []
        var unknown: Set<Int> = []
        var failed = false
    }

    /// Puts, deletes, compacts until something fails.
    @LoopActor private func run(_ harness: StoreHarness) async -> Outcome {
        var outcome = Outcome()
        do throws(BlockStoreError) {
            let store = try await harness.open()
            for number in 0..<30 {
                outcome.unknown = [number]
                try await harness.fill(store, [number], count: 5000)
                outcome.present.insert(number)
            }
            let victims = (0..<30).filter { $0 % 5 != 0 }
            outcome.unknown = Set(victims)
            outcome.present.subtract(victims)
            try await store.delete(victims.map { StoreHarness.key($0, count: 5000) })
            outcome.absent = Set(victims)
            outcome.unknown = []
            while try await store.compactOnce() {}
            for number in [1, 2, 100] {
                outcome.unknown = [number]
                outcome.absent.remove(number)
                try await harness.fill(store, [number], count: 5000)
                outcome.present.insert(number)
            }
            outcome.unknown = []
        } catch {
            outcome.failed = true
        }
        return outcome
    }

    @LoopActor private func check(_ harness: StoreHarness, _ outcome: Outcome, _ what: String) async throws {
        for rebuild in [false, true] {
            let store = try await harness.open(rebuildIndex: rebuild)
            #expect(await harness.holds(store, outcome.present, count: 5000), "\(what)")
            let listed = Set(try store.list(after: nil, limit: 1000).map(\.key))
            for number in outcome.absent { #expect(!listed.contains(StoreHarness.key(number, count: 5000)), "\(what): \(number)") }
            for number in outcome.unknown where listed.contains(StoreHarness.key(number, count: 5000)) {
                #expect(await harness.holds(store, [number], count: 5000), "\(what)")
            }
            #expect(try store.quarantined().isEmpty, "\(what)")
            while try await store.compactOnce() {}
            try await harness.fill(store, [200], count: 5000)
            #expect(await harness.holds(store, outcome.present.union([200]), count: 5000), "\(what)")
            harness.crash()
        }
    }

    @Test(arguments: [DiskError.Code.failed, .noSpace]) @LoopActor func everyOperationFailsOnce(code: DiskError.Code) async throws {
        var number = 0
        var faults = 0
        while true {
            number += 1
            let harness = StoreHarness(segmentBytes: 64 << 10)
            harness.disk.failingOperation = (number, code)
            let outcome = await run(harness)
            if harness.disk.failingOperation != nil { break }
            if outcome.failed { faults += 1 }
            harness.crash(random: number % 2 == 0 ? SeededRandom(seed: UInt64(number)) : nil)
            try await check(harness, outcome, "operation \(number) \(code)")
        }
        #expect(number > 90)
        #expect(faults > 60)
    }

    @Test @LoopActor func everyOperationMayBeTheLast() async throws {
        var number = 0
        while true {
            number += 1
            let harness = StoreHarness(segmentBytes: 64 << 10)
            // Small flushes, so that the index is at another place at each crash.
            harness.options.indexFlushBytes = 40_000
            let disk = harness.disk
            var isOver = false
            disk.fault = { [unowned disk, number] _, _ in
                if disk.operations >= number { isOver = true }
                return isOver ? .failed : nil
            }
            let outcome = await run(harness)
            disk.fault = nil
            harness.crash(random: SeededRandom(seed: UInt64(number)))
            try await check(harness, outcome, "crash at \(number)")
            if !isOver { break }
        }
        #expect(number > 90)
    }

    @Test @LoopActor func flippedBytesAreNeverServed() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<3, count: 9000)
        let path = try #require(harness.segmentPaths().first)
        let length = (56 + 40 + 12 + 9000 + 7) & ~7
        let start = 4096 + length
        // Head, key, lengths, checksums, payload; not the padding behind it.
        let places = Array(0..<108) + [109, 4000, 4204, 8300, 9107]
        for place in places {
            harness.disk.corrupt(path) { $0[start + place] ^= 0x04 }
            let key = StoreHarness.key(1, count: 9000)
            #expect(await storeCode { () async throws(BlockStoreError) in _ = try await store.get(key) } == .corrupt, "byte \(place)")
            #expect(try store.quarantined() == [key])
            #expect(try store.list(after: nil, limit: 10).filter(\.isBad).map(\.key) == [key])
            #expect(try !store.contains(key))
            #expect(await harness.holds(store, [0, 2], count: 9000))
            harness.disk.corrupt(path) { $0[start + place] ^= 0x04 }
            // Not served again, even though it looks good now.
            #expect(await storeCode { () async throws(BlockStoreError) in _ = try await store.get(key, offset: 0, count: 1) } == .corrupt)
            harness.index.crash()
            let again = try await harness.open(rebuildIndex: true)
            #expect(await harness.holds(again, 0..<3, count: 9000))
            // The running store: a rebuild made all rows good.
            #expect(try store.quarantined().isEmpty)
        }
    }

    @Test @LoopActor func aPutReplacesABadCopy() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<3, count: 9000)
        let path = try #require(harness.segmentPaths().first)
        harness.disk.corrupt(path) { $0[4096 + 5000] ^= 1 }
        let key = StoreHarness.key(0, count: 9000)
        #expect(await storeCode { () async throws(BlockStoreError) in try await store.check(key) } == .corrupt)
        #expect(try await store.statistics().quarantined == 1)
        #expect(try await store.statistics().blocks == 2)
        try await harness.fill(store, [0], count: 9000)
        #expect(await harness.holds(store, 0..<3, count: 9000))
        #expect(try await store.statistics().quarantined == 0)
        #expect(try await store.statistics().blocks == 3)
        harness.crash()
        #expect(await harness.holds(try await harness.open(), 0..<3, count: 9000))
    }

    @Test @LoopActor func damageInASegmentCostsOnlyItsBlock() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<40, count: 9000)
        let record = (56 + 40 + 12 + 9000 + 7) & ~7
        // The head of record 5 of the first segment, which is full.
        harness.disk.corrupt(harness.segmentPaths()[0]) { $0[4096 + 5 * record + 20] ^= 1 }
        let rebuilt = try await harness.open(rebuildIndex: true)
        #expect(await harness.holds(rebuilt, (0..<40).filter { $0 != 5 }, count: 9000))
        #expect(try !rebuilt.contains(StoreHarness.key(5, count: 9000)))
        try await harness.fill(rebuilt, [5], count: 9000)
        #expect(await harness.holds(rebuilt, 0..<40, count: 9000))
    }

    @Test @LoopActor func compactionBringsNoDamageAlong() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<40, count: 9000)
        try await store.delete((6..<14).map { StoreHarness.key($0, count: 9000) })
        let record = (56 + 40 + 12 + 9000 + 7) & ~7
        let path = harness.segmentPaths()[0]
        harness.disk.corrupt(path) { bytes in
            bytes[4096 + 2 * record + 20] ^= 1
            bytes[4096 + 4 * record + 3000] ^= 1
        }
        #expect(try await store.compactOnce())
        #expect(harness.disk.content(path) == nil)
        #expect(await harness.holds(store, [0, 1, 3, 5] + Array(14..<40), count: 9000))
        #expect(Set(try store.quarantined()) == Set([2, 4].map { StoreHarness.key($0, count: 9000) }))
        try await harness.fill(store, [2, 4], count: 9000)
        #expect(try store.quarantined().isEmpty)
    }

    @Test @LoopActor func aFailedSyncStopsWritesNotReads() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<3)
        harness.disk.fault = { operation, _ in operation == .sync ? .failed : nil }
        #expect(await storeCode { () async throws(BlockStoreError) in try await harness.fill(store, [4]) } == .failed)
        harness.disk.fault = nil
        #expect(await storeCode { () async throws(BlockStoreError) in try await harness.fill(store, [5]) } == .failed)
        #expect(await storeCode { () async throws(BlockStoreError) in try await store.delete([StoreHarness.key(0)]) } == .failed)
        #expect(await harness.holds(store, 0..<3))
        #expect(try !store.contains(StoreHarness.key(4)))
        #expect(try await store.statistics().hasFailed)
    }

    @Test @LoopActor func anUnreadableBlockIsNotTakenForDamaged() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<3)
        harness.disk.fault = { operation, _ in operation == .read ? .failed : nil }
        #expect(await storeCode { () async throws(BlockStoreError) in try await store.check(StoreHarness.key(1)) } == .failed)
        harness.disk.fault = nil
        #expect(await harness.holds(store, 0..<3))
        try store.quarantine(StoreHarness.key(1))
        #expect(try !store.contains(StoreHarness.key(1)))
        try await harness.fill(store, [1])
        #expect(await harness.holds(store, 0..<3))
    }
}
