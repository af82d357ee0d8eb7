import Glibc
import Metadata
import OrderedStore
import RocksStore
import Runtime

/// The RocksDB stores of the metadata state: `state` is the one in use, `fresh` one that a snapshot is being loaded into.
///
/// Replacing is two renames; which one a crash came between is seen at the next opening by which of the three names are there.
@LoopActor
final class StateStores: StateStoreProvider {
    private let directory: String
    private var current: RocksStore?
    private var fresh: RocksStore?

    private var currentPath: String { directory + "/state" }
    private var freshPath: String { directory + "/fresh" }
    private var replacedPath: String { directory + "/replaced" }

    init(directory: String) { self.directory = directory }

    func open() async throws(StoreError) -> any OrderedStore {
        try make(directory)
        // `fresh` was complete and `state` already moved away: finish the exchange.
        if !LocalFile.exists(currentPath), LocalFile.exists(replacedPath), LocalFile.exists(freshPath) { try move(freshPath, to: currentPath) }
        try destroy(freshPath)
        try destroy(replacedPath)
        let store = try RocksStore(directory: currentPath)
        current = store
        return store
    }

    func makeFresh() async throws(StoreError) -> any OrderedStore {
        fresh = nil
        try destroy(freshPath)
        let store = try RocksStore(directory: freshPath)
        fresh = store
        return store
    }

    func adopt(_ adopted: any OrderedStore) async throws(StoreError) {
        guard let store = fresh, store === adopted else { throw StoreError(.failed, "only the fresh store can be adopted") }
        // RocksDB keeps the paths of open files, so the exchange of names happens under the open store; its files stay the same.
        try move(currentPath, to: replacedPath)
        try move(freshPath, to: currentPath)
        current = store
        fresh = nil
        try destroy(replacedPath)
    }

    private func make(_ path: String) throws(StoreError) {
        do throws(DaemonError) { try LocalFile.makeDirectory(path) } catch { throw StoreError(.failed, error.cause) }
    }

    private func move(_ from: String, to: String) throws(StoreError) {
        guard rename(from, to) == 0 else { throw StoreError(.failed, "cannot rename \(from): \(String(cString: strerror(errno)))") }
        do throws(DaemonError) { try LocalFile.syncDirectory(directory) } catch { throw StoreError(.failed, error.cause) }
    }

    private func destroy(_ path: String) throws(StoreError) {
        if LocalFile.exists(path) { try RocksStore.destroy(directory: path) }
    }
}
