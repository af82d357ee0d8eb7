@testable import Daemon
import OrderedStore
import Runtime
import TestSupport
import Testing

/// The exchange of a daemon's metadata state for a snapshot.
@Suite @LoopActor struct StateStoresTests {
    private func put(_ store: any OrderedStore, _ value: UInt8) throws(StoreError) {
        var batch = WriteBatch()
        batch.put([1], [value])
        try store.write(batch)
    }

    @Test func aStoreGoesOnAfterItWasAdopted() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("meta")
        var stores: StateStores? = StateStores(directory: path)
        var store: (any OrderedStore)? = try await stores?.open()
        var pinned: (any OrderedReader)?
        // Again and again in one life of the process.
        for round in 1...3 as ClosedRange<UInt8> {
            let fresh = try #require(try await stores?.makeFresh())
            try put(fresh, round)
            try fresh.flush()
            try await stores?.adopt(fresh)
            store = fresh
            #expect(try fresh.get([1]) == [round])
            for value in 10 * round..<10 * round + 5 {
                try put(fresh, value)
                // Each writes a new table.
                try fresh.flush()
            }
            if round == 1 { pinned = fresh.snapshot() }
            await stores?.removeUnused()
        }
        // One that is being read stays until the next start.
        #expect(try pinned?.get([1]) == [14])
        #expect(LocalFile.names(in: path) == ["current", "state-1", "state-3"])
        stores = nil
        store = nil
        _ = store
        pinned = nil
        let again = StateStores(directory: path)
        #expect(try await again.open().get([1]) == [34])
        // The replaced ones are gone, also those that were open all the time.
        #expect(LocalFile.names(in: path) == ["current", "state-3"])
    }

    @Test func aFreshStoreThatWasNotAdoptedIsForgotten() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("meta")
        do {
            let stores = StateStores(directory: path)
            let store = try await stores.open()
            try put(store, 7)
            try store.flush()
            for value in 1...3 as ClosedRange<UInt8> {
                let fresh = try await stores.makeFresh()
                try put(fresh, value)
                try fresh.flush()
            }
            await #expect(throws: StoreError.self) { try await stores.adopt(store) }
        }
        let store = try await StateStores(directory: path).open()
        #expect(try store.get([1]) == [7])
        #expect(LocalFile.names(in: path) == ["state"])
    }

    @Test func aStoreThatIsNamedButGoneIsNotMadeAnew() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("meta")
        try LocalFile.makeDirectory(path)
        try LocalFile.write(Array("state-4".utf8), to: path + "/current")
        let failure = await #expect(throws: StoreError.self) { _ = try await StateStores(directory: path).open() }
        #expect(failure?.code == .corrupt)
    }
}
