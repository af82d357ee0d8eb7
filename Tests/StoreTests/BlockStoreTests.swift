import BlockStore
import Bytes
import Digest
import Model
import OrderedStore
import RocksStore
import Runtime
import TestSupport
import Testing

@Suite struct BlockStoreTests {
    @Test @LoopActor func blocksComeBack() async throws {
        let harness = StoreHarness(segmentBytes: 4 << 20)
        let store = try await harness.open()
        for count in [1, 2, 4095, 4096, 4097, 65_536, 300_000, 1 << 20] {
            let key = StoreHarness.key(count, count: count)
            #expect(try !store.contains(key))
            try await store.put(key, StoreHarness.content(count, count: count))
            #expect(try store.length(of: key) == count)
            let bytes = JournalHarness.bytes(count, count: count)
            for (offset, length) in [(0, count), (0, 1), (count - 1, 1), (count / 2, count - count / 2), (count, 0)] {
                #expect(try await store.get(key, offset: offset, count: length).array == Array(bytes[offset..<offset + length]))
                #expect(try await store.get(key, offset: offset, count: length, verify: .key).array == Array(bytes[offset..<offset + length]))
            }
            try await store.check(key)
            for (offset, length) in [(0, count + 1), (-1, 1), (count + 1, 0), (Int.max, 1), (1, Int.max), (0, -1)] {
                #expect(await storeCode { () async throws(BlockStoreError) in _ = try await store.get(key, offset: offset, count: length) } == .invalid)
            }
        }
        let missing = StoreHarness.key(99)
        #expect(await storeCode { () async throws(BlockStoreError) in _ = try await store.get(missing) } == .notFound)
        #expect(await storeCode { () async throws(BlockStoreError) in try await store.put(missing, StoreHarness.content(98)) } == .mismatch)
        #expect(await storeCode { () async throws(BlockStoreError) in try await store.put(missing, StoreHarness.content(99, count: 0)) } == .invalid)
        let large = StoreHarness.content(1, count: (1 << 20) + 1)
        #expect(await storeCode { () async throws(BlockStoreError) in try await store.put(SHA256.key(of: large), large) } == .invalid)
        let statistics = try await store.statistics()
        #expect(statistics.blocks == 8 && statistics.mismatches == 1)
    }

    @Test @LoopActor func onlyWhatShrinksIsCompressed() async throws {
        let harness = StoreHarness(segmentBytes: 4 << 20)
        let store = try await harness.open()
        let text = Slice(copying: (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 1000) })
        try await store.put(SHA256.key(of: text), text)
        let compressed = try await store.statistics().liveBytes
        #expect(compressed < 30_000)
        for (offset, count) in [(0, 300_000), (150_000, 10), (299_999, 1)] {
            let part = try await store.get(SHA256.key(of: text), offset: offset, count: count)
            #expect(part.array == Array(text.array[offset..<offset + count]))
        }
        try await harness.fill(store, 0..<1, count: 300_000)
        #expect(try await store.statistics().liveBytes - compressed > 300_000)
        _ = try await harness.open(rebuildIndex: true)
        let again = try await harness.open()
        #expect(try await again.get(SHA256.key(of: text), verify: .key).array == text.array)
    }

    @Test @LoopActor func sameContentIsStoredOnce() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        let before = harness.disk.operations
        let puts = (0..<20).map { _ in
            Task { @LoopActor () -> Void in try await store.put(StoreHarness.key(1), StoreHarness.content(1)) }
        }
        for put in puts { try await put.value }
        #expect(try await store.statistics().deadBytes < 4200)
        #expect(try await store.statistics().blocks == 1)
        #expect(harness.disk.operations > before)
        let operations = harness.disk.operations
        try await store.put(StoreHarness.key(1), StoreHarness.content(1))
        #expect(harness.disk.operations == operations)
    }

    @Test @LoopActor func aWrongPutDoesNotSpoilARightOne() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        let wrong = Task { @LoopActor in
            await storeCode { () async throws(BlockStoreError) in try await store.put(StoreHarness.key(1), StoreHarness.content(2)) }
        }
        let right = Task { @LoopActor in
            await storeCode { () async throws(BlockStoreError) in try await store.put(StoreHarness.key(1), StoreHarness.content(1)) }
        }
        #expect(await wrong.value == .mismatch)
        #expect(await right.value == nil)
        #expect(await harness.holds(store, [1]))
    }

    @Test @LoopActor func concurrentPutsShareSyncs() async throws {
        let harness = StoreHarness(segmentBytes: 1 << 20)
        let store = try await harness.open()
        try await harness.fill(store, [0])
        var syncs = 0
        harness.disk.fault = { operation, _ in
            if operation == .sync { syncs += 1 }
            return nil
        }
        let puts = (1...64).map { number in
            Task { @LoopActor () -> Void in try await store.put(StoreHarness.key(number), StoreHarness.content(number)) }
        }
        for put in puts { try await put.value }
        #expect((1...4).contains(syncs))
        harness.crash()
        #expect(await harness.holds(try await harness.open(), 0...64))
    }

    @Test @LoopActor func deletedIsGoneForGood() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<100)
        try await store.delete((20..<100).map { StoreHarness.key($0) } + [StoreHarness.key(5000)])
        try await store.delete([StoreHarness.key(20)])
        #expect(try await store.statistics().blocks == 20)
        harness.crash()
        for rebuild in [false, true] {
            let again = try await harness.open(rebuildIndex: rebuild)
            #expect(try again.list(after: nil, limit: 1000).map(\.key) == (0..<20).map { StoreHarness.key($0) }.sorted())
            #expect(await harness.holds(again, 0..<20))
        }
    }

    @Test @LoopActor func aPutDuringADeleteStays() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, [1])
        let delete = Task { @LoopActor () -> Void in try await store.delete([StoreHarness.key(1)]) }
        await Task.yield()
        try await store.put(StoreHarness.key(1), StoreHarness.content(1))
        try await delete.value
        #expect(await harness.holds(store, [1]))
        harness.crash()
        #expect(await harness.holds(try await harness.open(), [1]))
    }

    @Test @LoopActor func listingGoesOnWhereItEnded() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<50)
        let all = try store.list(after: nil, limit: 1000)
        #expect(all.map(\.key) == (0..<50).map { StoreHarness.key($0) }.sorted())
        var pieces: [BlockListing] = []
        while true {
            let piece = try store.list(after: pieces.last?.key, limit: 7)
            pieces += piece
            if piece.count < 7 { break }
        }
        #expect(pieces == all)
    }

    @Test @LoopActor func theIndexCanBeLost() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<300)
        try await store.delete((0..<300).filter { $0 % 3 == 0 }.map { StoreHarness.key($0) })
        try await harness.fill(store, [0, 3, 6])
        let listing = try store.list(after: nil, limit: 1000)
        let figures = try await store.statistics()
        harness.disk.crash()
        harness.index = MemoryStore()
        let again = try await harness.open()
        #expect(try again.list(after: nil, limit: 1000) == listing)
        let rebuilt = try await again.statistics()
        #expect(rebuilt == figures)
        // An index from another time of another store.
        let other = StoreHarness()
        try await other.fill(try await other.open(), 1000..<1400)
        other.index.flush()
        harness.index = other.index
        let third = try await harness.open()
        #expect(try third.list(after: nil, limit: 2000) == listing)
    }

    @Test @LoopActor func compactionGivesSpaceBack() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<600)
        let before = try await store.statistics()
        try await store.delete((0..<600).filter { $0 % 10 != 0 }.map { StoreHarness.key($0) })
        while try await store.compactOnce() {}
        let after = try await store.statistics()
        #expect(after.blocks == 60)
        #expect(after.fileBytes < before.fileBytes / 2)
        let kept = (0..<600).filter { $0 % 10 == 0 }
        #expect(await harness.holds(store, kept))
        harness.crash()
        for rebuild in [false, true] {
            let again = try await harness.open(rebuildIndex: rebuild)
            #expect(try again.list(after: nil, limit: 1000).map(\.key) == kept.map { StoreHarness.key($0) }.sorted())
            #expect(await harness.holds(again, kept))
        }
    }

    @Test @LoopActor func compactionKeepsDeletesOfOlderSegments() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<250)
        // The block is in the first segment, its delete in the third.
        try await store.delete([StoreHarness.key(0)])
        try await harness.fill(store, 250..<400)
        let first = try #require(harness.segmentPaths().first)
        let third = harness.segmentPaths()[2]
        try await store.delete((225..<380).map { StoreHarness.key($0) })
        while try await store.compactOnce() {}
        #expect(harness.disk.content(first) != nil)
        #expect(harness.disk.content(third) == nil)
        let again = try await harness.open(rebuildIndex: true)
        #expect(try !again.contains(StoreHarness.key(0)))
        #expect(await harness.holds(again, Array(1..<225) + Array(380..<400)))
    }

    @Test @LoopActor func compactionBesidesGetsPutsAndDeletes() async throws {
        let harness = StoreHarness()
        let store = try await harness.open()
        try await harness.fill(store, 0..<400)
        try await store.delete((0..<400).filter { $0 % 4 != 0 }.map { StoreHarness.key($0) })
        let compaction = Task { @LoopActor () -> Int in
            var count = 0
            while try await store.compactOnce() { count += 1 }
            return count
        }
        var deleted: Set<Int> = []
        for turn in 0..<100 {
            #expect(await harness.holds(store, [turn * 4].filter { !deleted.contains($0) }))
            try await harness.fill(store, [1000 + turn])
            let victim = 396 - turn * 4
            if turn % 3 == 0, victim > turn * 4 {
                try await store.delete([StoreHarness.key(victim)])
                deleted.insert(victim)
            }
            if turn % 5 == 0 { try await harness.fill(store, [turn * 4 + 1]) }
        }
        #expect(try await compaction.value > 1)
        let kept = (0..<400).filter { ($0 % 4 == 0 && !deleted.contains($0)) || $0 % 20 == 1 } + (1000..<1100)
        #expect(await harness.holds(store, kept))
        harness.crash()
        for rebuild in [false, true] {
            let again = try await harness.open(rebuildIndex: rebuild)
            #expect(try again.list(after: nil, limit: 1000).map(\.key) == kept.map { StoreHarness.key($0) }.sorted())
        }
    }

    @Test @LoopActor func aFullDiskRefusesPutsAndRecovers() async throws {
        let harness = StoreHarness(capacity: 1 << 20)
        harness.options.reserveBytes = 256 << 10
        let store = try await harness.open()
        var count = 0
        while await storeCode({ () async throws(BlockStoreError) in try await harness.fill(store, [count]) }) == nil { count += 1 }
        #expect(count > 400)
        #expect(await storeCode { () async throws(BlockStoreError) in try await harness.fill(store, [count]) } == .noSpace)
        #expect(await harness.holds(store, 0..<count))
        try await store.delete((0..<count - 10).map { StoreHarness.key($0) })
        while try await store.compactOnce() {}
        try await harness.fill(store, 5000..<5200)
        #expect(await harness.holds(store, Array(count - 10..<count) + Array(5000..<5200)))
        #expect(try await store.statistics().blocks == 210)
        harness.crash()
        #expect(await harness.holds(try await harness.open(), Array(count - 10..<count) + Array(5000..<5200)))
    }

    @Test @LoopActor func oneSegmentOnATinyDiskComesBackToo() async throws {
        let harness = StoreHarness(segmentBytes: 128 << 10, capacity: 220 << 10)
        harness.options.reserveBytes = 80 << 10
        let store = try await harness.open()
        var count = 0
        while await storeCode({ () async throws(BlockStoreError) in try await harness.fill(store, [count]) }) == nil { count += 1 }
        try await store.delete((0..<count).map { StoreHarness.key($0) })
        while try await store.compactOnce() {}
        try await harness.fill(store, 0..<20)
        #expect(try await store.statistics().blocks == 20)
    }

    @Test @LoopActor func foreignDataIsRefused() async throws {
        let harness = StoreHarness()
        try await harness.fill(try await harness.open(), 0..<3)
        harness.options.node = NodeID(rawValue: 2)
        #expect(await storeCode { () async throws(BlockStoreError) in _ = try await harness.open() } == .foreign)
        harness.options.node = NodeID(rawValue: 1)
        #expect(await harness.holds(try await harness.open(), 0..<3))
    }

    @Test @LoopActor func onTheRealDiskWithRocksDB() async throws {
        let directory = try TemporaryDirectory()
        let environment = TestEnvironment.real()
        let options = StoreHarness(segmentBytes: 1 << 20).options
        let harness = StoreHarness()
        func open() async throws -> BlockStore {
            try await BlockStore.open(
                environment: environment, directory: directory.file("segments"), index: RocksStore(directory: directory.file("index")),
                options: options, log: JournalHarness.quiet)
        }
        do {
            let store = try await open()
            let puts = (0..<200).map { number in
                Task { @LoopActor () -> Void in
                    try await store.put(StoreHarness.key(number, count: 20_000), StoreHarness.content(number, count: 20_000))
                }
            }
            for put in puts { try await put.value }
            try await store.delete((0..<180).map { StoreHarness.key($0, count: 20_000) })
            while try await store.compactOnce() {}
            #expect(await harness.holds(store, 180..<200, count: 20_000))
            #expect(try await store.statistics().segments <= 3)
            try await store.close()
        }
        let store = try await open()
        #expect(try await store.statistics().blocks == 20)
        #expect(await harness.holds(store, 180..<200, count: 20_000))
    }
}
