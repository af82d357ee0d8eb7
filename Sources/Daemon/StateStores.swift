import Metadata
import OrderedStore
import RocksStore
import Runtime

/// The RocksDB stores of the metadata state, each in a directory of its own that keeps its name as long as it lives: RocksDB makes new files by the
/// path under which it was opened.
///
/// The file `current` names the one in use, so replacing it is one rename; without that file it is `state`.
@LoopActor
final class StateStores: StateStoreProvider {
    private static let prefix = "state"
    private let directory: String
    private var used = StateStores.prefix
    private var fresh: (name: String, store: RocksStore)?

    private var pointerPath: String { directory + "/current" }

    init(directory: String) { self.directory = directory }

    func open() async throws(StoreError) -> any OrderedStore {
        try Self.told { () throws(DaemonError) in try LocalFile.makeDirectory(directory) }
        // Before anything is removed: the name may be there only in the kernel's memory, and the loss of power would bring back the one before.
        try Self.told { () throws(DaemonError) in try LocalFile.syncDirectory(directory) }
        if LocalFile.exists(pointerPath) {
            used = String(decoding: try Self.told { () throws(DaemonError) in try LocalFile.read(pointerPath) }, as: UTF8.self)
            guard used.hasPrefix(Self.prefix), LocalFile.isDirectory(path(used)) else {
                throw StoreError(.corrupt, "\(pointerPath) names the store \(used), which is not there")
            }
        }
        if let failure = sweep() { throw failure }
        return try RocksStore(directory: path(used))
    }

    func makeFresh() async throws(StoreError) -> any OrderedStore {
        fresh = nil
        await removeUnused()
        // A name that nothing has, also not a store that is still open.
        let number = 1 + (names.compactMap { Int($0.dropFirst(Self.prefix.count + 1)) }.max() ?? 0)
        let name = "\(Self.prefix)-\(number)"
        let store = try RocksStore(directory: path(name))
        fresh = (name, store)
        return store
    }

    func adopt(_ adopted: any OrderedStore) async throws(StoreError) {
        guard let (name, store) = fresh, store === adopted else { throw StoreError(.failed, "only the fresh store can be adopted") }
        try Self.told { () throws(DaemonError) in try LocalFile.write(Array(name.utf8), to: pointerPath) }
        used = name
        fresh = nil
    }

    func removeUnused() async {
        // One that somebody still reads is locked, and stays until the next time.
        _ = sweep()
    }

    private var names: [String] { LocalFile.names(in: directory).filter { $0.hasPrefix(Self.prefix) } }

    private func path(_ name: String) -> String { directory + "/" + name }

    /// - Returns: why one could not be removed; the others were.
    private func sweep() -> StoreError? {
        var failure: StoreError?
        for name in names where name != used && name != fresh?.name {
            do throws(StoreError) { try RocksStore.destroy(directory: path(name)) } catch { failure = error }
        }
        return failure
    }

    private static func told<Value>(_ work: () throws(DaemonError) -> Value) throws(StoreError) -> Value {
        do throws(DaemonError) { return try work() } catch { throw StoreError(.failed, error.cause) }
    }
}
