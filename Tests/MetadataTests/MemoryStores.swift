import Metadata
import OrderedStore
import Runtime

/// State stores in memory that survive a server and lose at a crash what was not flushed.
@LoopActor
final class MemoryStores: StateStoreProvider {
    private(set) var current = MemoryStore()
    private var fresh: MemoryStore?
    /// How often a snapshot was put in place.
    private(set) var adoptions = 0

    func open() async throws(StoreError) -> any OrderedStore { current }

    func makeFresh() async throws(StoreError) -> any OrderedStore {
        let store = MemoryStore()
        fresh = store
        return store
    }

    func adopt(_ store: any OrderedStore) async throws(StoreError) {
        guard let fresh, fresh === store else { throw StoreError(.failed, "not the fresh store") }
        current = fresh
        self.fresh = nil
        adoptions += 1
    }

    /// Somebody removed the files.
    func lose() {
        current = MemoryStore()
        fresh = nil
    }

    func crash() { current.crash() }
}
