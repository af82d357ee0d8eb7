import Namespace
import OrderedStore
import RocksStore
import Testing

/// Both stores against each other and against a dictionary.
@Suite struct StoreBehaviourTests {
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func storesBehaveTheSame(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let path = directory.path + "/store"
        var rocks = try RocksStore(directory: path, durability: seed % 2 == 0 ? .logged : .flushed)
        let memory = MemoryStore()
        var model: [[UInt8]: [UInt8]] = [:]
        func randomKey() -> [UInt8] {
            (0..<Int.random(in: 0...3, using: &generator)).map { _ in [0, 1, 0x7F, 0x80, 0xFF][Int.random(in: 0..<5, using: &generator)] }
        }
        for step in 0..<300 {
            var batch = WriteBatch()
            let before = model
            let old = (memory.snapshot(), rocks.snapshot())
            for _ in 0..<Int.random(in: 0..<20, using: &generator) {
                let key = randomKey()
                if Bool.random(using: &generator) {
                    let value = [UInt8](repeating: UInt8(step % 256), count: Int.random(in: 0..<200, using: &generator))
                    batch.put(key, value)
                    model[key] = value
                } else {
                    batch.delete(key)
                    model[key] = nil
                }
            }
            memory.write(batch)
            try rocks.write(batch)
            #expect(memory.count == model.count)
            let key = randomKey()
            #expect(memory.get(key) == model[key])
            #expect(try rocks.get(key) == model[key])
            #expect(try old.0.get(key) == before[key])
            #expect(try old.1.get(key) == before[key])
            let lower = randomKey()
            let upper: [UInt8]? = step % 3 == 0 ? nil : randomKey()
            let limit = Int.random(in: 1..<40, using: &generator)
            for (reader, rows) in [(memory as any OrderedReader, model), (rocks, model), (old.0, before), (old.1, before)] {
                let expected = rows.filter { row in
                    !row.key.lexicographicallyPrecedes(lower) && (upper.map { row.key.lexicographicallyPrecedes($0) } ?? true)
                }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
                let found = try Rows(reader).pairs(from: lower, to: upper, limit: limit)
                #expect(found.map(\.key) == expected.prefix(limit).map(\.key))
                #expect(found.map(\.value) == expected.prefix(limit).map(\.value))
            }
            if step % 100 == 99 {
                try rocks.flush()
                let copy = directory.path + "/copy\(step)"
                try rocks.checkpoint(to: copy)
                #expect(try dump(try RocksStore(directory: copy)) == dump(memory))
            }
        }
        try rocks.flush()
        let image = directory.path + "/image"
        try directory.copy(path, to: image)
        // What is on disk after a flush is everything, whether or not the store is closed in order.
        #expect(try dump(try RocksStore(directory: image, durability: seed % 2 == 0 ? .logged : .flushed)) == dump(memory))
        rocks = try RocksStore(directory: directory.path + "/other")
        #expect(try dump(rocks).isEmpty)
        rocks = try RocksStore(directory: path)
        #expect(try dump(rocks) == dump(memory))
    }

    @Test func memoryStoreGrowsAndCrashes() throws {
        var generator = SeededGenerator(seed: 9)
        let store = MemoryStore()
        var model: [[UInt8]: [UInt8]] = [:]
        for round in 0..<20 {
            var batch = WriteBatch()
            for _ in 0..<2000 {
                let number = UInt32.random(in: 0..<30_000, using: &generator)
                let key = [UInt8(number >> 16), UInt8(number >> 8 & 0xFF), UInt8(number & 0xFF)]
                if number % 4 == 0 && round > 10 {
                    batch.delete(key)
                    model[key] = nil
                } else {
                    batch.put(key, [UInt8(round)])
                    model[key] = [UInt8(round)]
                }
            }
            store.write(batch)
        }
        #expect(store.count == model.count)
        #expect(try Rows(store).pairs(from: [], to: nil).map(\.key) == model.keys.sorted { $0.lexicographicallyPrecedes($1) })
        store.flush()
        var batch = WriteBatch()
        batch.put([1], [1])
        for key in model.keys.prefix(5000) { batch.delete(key) }
        store.write(batch)
        #expect(store.count == model.count - 5000 + 1)
        store.crash()
        #expect(store.count == model.count && store.get([1]) == nil)
    }

    @Test func errorsAreTold() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/store"
        do {
            let store = try RocksStore(directory: path)
            // A second opening is refused, as is a checkpoint into what exists.
            #expect(throws: StoreError.self) { try RocksStore(directory: path) }
            #expect(throws: StoreError.self) { try store.checkpoint(to: directory.path) }
            var batch = WriteBatch()
            batch.put([1], [UInt8](repeating: 5, count: 10_000))
            try store.write(batch)
            try store.flush()
        }
        #expect(throws: StoreError.self) { try RocksStore(directory: directory.path + "/no/such/parent") }
        try directory.damageTables(in: path)
        let failure = #expect(throws: StoreError.self) { _ = try RocksStore(directory: path).get([1]) }
        #expect(failure?.code == .corrupt)
        try RocksStore.destroy(directory: path)
        #expect(try RocksStore(directory: path).get([1]) == nil)
    }

    @Test func snapshotOutlivesTheStore() throws {
        let directory = try TemporaryDirectory()
        var store: RocksStore? = try RocksStore(directory: directory.path + "/store")
        var batch = WriteBatch()
        batch.put([1], [2])
        try store?.write(batch)
        let snapshot = try #require(store?.snapshot())
        store = nil
        #expect(try snapshot.get([1]) == [2])
    }
}
