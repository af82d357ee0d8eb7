import Daemon
import Metadata
import OrderedStore
import Runtime

/// The ordered stores of one machine. RocksDB's place is taken by stores in memory with the same crash semantics: what was not flushed dies with the process, as
/// it lies in the process's memory; the store of owed copies, which RocksDB keeps with a log, survives a process and loses at power loss what the
/// log had not synced, which here is nothing.
@LoopActor
final class SimulatedStores {
    private var blockIndex = MemoryStore()
    private var resync = MemoryStore()
    private(set) var state = SimulatedStateStores()

    /// For a process that begins now. Those of an earlier process lead nowhere any more.
    func open() -> NodeStores {
        blockIndex = blockIndex.survivor(keepingUnflushed: false)
        resync = resync.survivor(keepingUnflushed: true)
        state = state.survivor()
        return NodeStores(blockIndex: blockIndex, resync: resync, state: state)
    }

    func loseBlocks() {
        blockIndex = MemoryStore()
        resync = MemoryStore()
    }

    func loseMetadata() { state = SimulatedStateStores() }
}

/// The metadata state's stores of one machine.
@LoopActor
final class SimulatedStateStores: StateStoreProvider {
    private(set) var current = MemoryStore()
    private var fresh: MemoryStore?

    func open() async throws(StoreError) -> any OrderedStore { current }

    func makeFresh() async throws(StoreError) -> any OrderedStore {
        let store = MemoryStore()
        fresh = store
        return store
    }

    func adopt(_ adopted: any OrderedStore) async throws(StoreError) {
        guard let fresh, fresh === adopted else { throw StoreError(.failed, "only the fresh store can be adopted") }
        current = fresh
        self.fresh = nil
    }

    func survivor() -> SimulatedStateStores {
        let result = SimulatedStateStores()
        result.current = current.survivor(keepingUnflushed: false)
        return result
    }
}
