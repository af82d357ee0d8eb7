import Foundation
import OrderedStore
import RocksStore
import Runtime
import TestSupport
import Testing

/// The store of the simulator against the one of the product: the same operations, the same results, the same remains of a crash.
@Suite @LoopActor struct StoreEqualityTests {
    /// A RocksStore that can be closed in order or lose its process.
    @LoopActor private final class Rocks {
        let directory: TemporaryDirectory
        let durability: RocksStore.Durability
        var store: RocksStore?
        private var life = 0

        init(_ durability: RocksStore.Durability) throws {
            directory = try TemporaryDirectory()
            self.durability = durability
            store = try RocksStore(directory: path, durability: durability)
        }

        private var path: String { directory.file("life\(life)") }

        /// What files say while the store is open is what the next process would find. The old store then dies without anybody looking.
        func crash() throws {
            let old = path
            life += 1
            // A background thread of RocksDB may be at work; a copy during which nothing came or went is one of a moment.
            while true {
                let before = listing(old)
                try? FileManager.default.removeItem(atPath: path)
                let copied: Void? = try? FileManager.default.copyItem(atPath: old, toPath: path)
                if copied != nil, before != nil, listing(old) == before { break }
            }
            store = nil
            try FileManager.default.removeItem(atPath: old)
            store = try RocksStore(directory: path, durability: durability)
        }

        func reopen() throws {
            store = nil
            store = try RocksStore(directory: path, durability: durability)
        }

        /// Nil if something went while it was made.
        private func listing(_ path: String) -> [String]? {
            let manager = FileManager.default
            guard let names = try? manager.contentsOfDirectory(atPath: path).sorted() else { return nil }
            let lines = names.compactMap { name in
                (try? manager.attributesOfItem(atPath: path + "/" + name)).map {
                    "\(name) \($0[.size] ?? 0) \($0[.modificationDate] ?? 0)"
                }
            }
            return lines.count == names.count ? lines : nil
        }
    }

    private func rows(
        _ reader: any OrderedReader, from lower: [UInt8] = [], to upper: [UInt8]? = nil, limit: Int = .max
    ) throws(StoreError) -> [[[UInt8]]] {
        var found: [[[UInt8]]] = []
        try reader.scan(from: lower, to: upper) { key, value in
            found.append([Array(key), Array(value)])
            return found.count < limit
        }
        return found
    }

    private func key(_ random: SeededRandom) -> [UInt8] {
        (0..<random.below(4)).map { _ in [0, 1, 0x7F, 0x80, 0xFF][random.below(5)] }
    }

    private func batch(_ random: SeededRandom) -> WriteBatch {
        var batch = WriteBatch()
        for _ in 0..<random.below(12) {
            if random.below(3) > 0 { batch.put(key(random), random.bytes(random.below(100))) } else { batch.delete(key(random)) }
        }
        return batch
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>) func bothDoTheSame(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        let isLogged = seed % 2 == 0
        let rocks = try Rocks(isLogged ? .logged : .flushed)
        let medium = StoreMedium(isLogged ? .logged : .flushed)
        var store: SimulatedStore? = try SimulatedStore(medium)
        var snapshots: [(any OrderedReader, any OrderedReader)] = []
        for step in 0..<150 {
            do {
                // Not longer than this: what holds a store keeps it open.
                let first = try #require(rocks.store)
                let second = try #require(store)
                try doSomething(step, random, rocks, first, second, &snapshots)
                for (one, other) in snapshots { #expect(try rows(one) == rows(other), "step \(step)") }
                #expect(try rows(first) == rows(second), "step \(step)")
            }
            guard step % 30 == 29 else { continue }
            snapshots.removeAll()
            if random.below(2) == 0 { try crash(rocks, medium, &store) } else { try reopen(rocks, medium, &store) }
        }
    }

    private func doSomething(
        _ step: Int, _ random: SeededRandom, _ rocks: Rocks, _ first: RocksStore, _ second: SimulatedStore,
        _ snapshots: inout [(any OrderedReader, any OrderedReader)]
    ) throws {
        switch random.below(20) {
        case 0..<9:
            let batch = batch(random)
            try first.write(batch)
            try second.write(batch)
        case 9..<12:
            let key = key(random)
            #expect(try first.get(key) == second.get(key), "step \(step)")
        case 12..<15:
            let lower = key(random)
            let upper: [UInt8]? = random.below(3) == 0 ? nil : key(random)
            let limit = 1 + random.below(20)
            #expect(try rows(first, from: lower, to: upper, limit: limit) == rows(second, from: lower, to: upper, limit: limit))
            // All keys that begin with a prefix.
            let end = lower + [0xFF, 0xFF, 0xFF, 0xFF]
            #expect(try rows(first, from: lower, to: end) == rows(second, from: lower, to: end))
        case 15:
            if snapshots.count < 3 { snapshots.append((first.snapshot(), second.snapshot())) }
        case 16, 17:
            try first.flush()
            try second.flush()
        case 18:
            snapshots.removeAll()
            let copy = rocks.directory.file("copy\(step)")
            try first.checkpoint(to: copy)
            let twin = try SimulatedStore(second.checkpoint())
            #expect(try rows(try RocksStore(directory: copy)) == rows(twin))
        default: break
        }
    }

    private func crash(_ rocks: Rocks, _ medium: StoreMedium, _ store: inout SimulatedStore?) throws {
        try rocks.crash()
        medium.crash(.process)
        let dead = store
        store = try SimulatedStore(medium)
        #expect(throws: StoreError.self) { try dead?.write(WriteBatch()) }
        #expect(throws: StoreError.self) { try dead?.get([]) }
        #expect(try rows(try #require(rocks.store)) == rows(try #require(store)))
    }

    private func reopen(_ rocks: Rocks, _ medium: StoreMedium, _ store: inout SimulatedStore?) throws {
        try rocks.reopen()
        store = nil
        store = try SimulatedStore(medium)
        #expect(try rows(try #require(rocks.store)) == rows(try #require(store)))
    }

    /// More than fits the write buffer: a part is written out without being asked, and always the first batches. RocksDB does it on threads of its own, which
    /// may come too late.
    @Test func aCrashLeavesAPrefix() throws {
        let rocks = try Rocks(.flushed)
        let medium = StoreMedium(.flushed)
        var store: SimulatedStore? = try SimulatedStore(medium)
        for number in 0..<250 {
            var batch = WriteBatch()
            batch.put([1, UInt8(number)], [UInt8](repeating: UInt8(number), count: 50_000))
            batch.put([2, UInt8(number)], [UInt8](repeating: UInt8(number), count: 50_000))
            batch.put([3], [UInt8(number)])
            try rocks.store?.write(batch)
            try store?.write(batch)
        }
        try rocks.crash()
        let random = SeededRandom(seed: 11)
        medium.crash(.process) { bound in LoopActor.assumeIsolated { random.below(bound) } }
        store = try SimulatedStore(medium)
        for reader in [rocks.store as (any OrderedReader)?, store] {
            let found = try rows(try #require(reader))
            let count = try reader?.get([3])?.first.map { Int($0) + 1 } ?? 0
            #expect(count < 250 && (count > 50 || reader is RocksStore))
            #expect(found.map { $0[0] } == (0..<count).map { [1, UInt8($0)] } + (0..<count).map { [2, UInt8($0)] } + (count > 0 ? [[3]] : []))
        }
    }

    /// Every number of batches since the last flush may survive, with a log as well when power is lost; each batch whole.
    @Test(arguments: [StoreMedium.Durability.flushed, .logged]) func powerLossLeavesAnyPrefix(durability: StoreMedium.Durability) throws {
        var counts: Set<Int> = []
        for seed in 1...60 as ClosedRange<UInt64> {
            let medium = StoreMedium(durability)
            var store: SimulatedStore? = try SimulatedStore(medium)
            for number in 0..<8 as Range<UInt8> {
                var batch = WriteBatch()
                batch.put([1, number], [number])
                batch.put([2, number], [number])
                try store?.write(batch)
                if number == 2 { try store?.flush() }
            }
            let random = SeededRandom(seed: seed)
            medium.crash(.power) { bound in LoopActor.assumeIsolated { random.below(bound) } }
            store = try SimulatedStore(medium)
            let found = try rows(try #require(store))
            #expect(found.count % 2 == 0)
            let count = found.count / 2
            #expect(found.map { $0[0] } == (0..<count).map { [1, UInt8($0)] } + (0..<count).map { [2, UInt8($0)] })
            counts.insert(count)
        }
        #expect(counts == Set(3...8))
    }

    @Test func onlyOneHasItOpen() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        let medium = StoreMedium()
        var rocks: RocksStore? = try RocksStore(directory: path)
        var store: SimulatedStore? = try SimulatedStore(medium)
        #expect(throws: StoreError.self) { try RocksStore(directory: path) }
        #expect(throws: StoreError.self) { try SimulatedStore(medium) }
        // A snapshot is enough to keep it open.
        var views = (rocks?.snapshot(), store?.snapshot())
        rocks = nil
        store = nil
        _ = (rocks, store)
        #expect(throws: StoreError.self) { try RocksStore(directory: path) }
        #expect(throws: StoreError.self) { try SimulatedStore(medium) }
        views = (nil, nil)
        _ = views
        _ = try RocksStore(directory: path)
        _ = try SimulatedStore(medium)
    }

    /// What is told of a write that could not be made durable is final until the store is opened again.
    @Test func afterAFailureNothingIsWritten() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("store")
        let medium = StoreMedium()
        var rocks: RocksStore? = try RocksStore(directory: path)
        var store: SimulatedStore? = try SimulatedStore(medium)
        var batch = WriteBatch()
        batch.put([1], [1])
        for target in [rocks as (any OrderedStore)?, store] {
            try target?.write(batch)
            try target?.flush()
        }
        batch.put([1], [2])
        for target in [rocks as (any OrderedStore)?, store] { try target?.write(batch) }
        // No new table can be made.
        try FileManager.default.moveItem(atPath: path, toPath: path + "-away")
        medium.failingOperation = (medium.operations + 1, .failed)
        for target in [rocks as (any OrderedStore)?, store] { #expect(throws: StoreError.self) { try target?.flush() } }
        try FileManager.default.moveItem(atPath: path + "-away", toPath: path)
        for target in [rocks as (any OrderedStore)?, store] {
            #expect(throws: StoreError.self) { try target?.write(batch) }
            #expect(throws: StoreError.self) { try target?.flush() }
            // Reads go on.
            #expect(try target?.get([1]) == [2])
        }
        rocks = nil
        store = nil
        rocks = try RocksStore(directory: path)
        store = try SimulatedStore(medium)
        #expect(try rocks?.get([1]) == [1])
        #expect(try store?.get([1]) == [1])
    }
}
