import Consensus
import Model
import Namespace
import OrderedStore
import Runtime
import Telemetry

/// What a metadata server finds on its disk when it starts: its log and its state, which belong together.
///
/// A log that cannot be trusted goes aside whole, and the state with it, since a state without its log could not be continued. In this order a crash
/// at any point is repeated from where it was: first the log gets its new name, then the state is replaced. A state without a log is replaced too,
/// whatever removed the log; a damaged log is never read as a shorter one.
@LoopActor
struct DurableState {
    let storage: ConsensusStorage
    let store: any OrderedStore
    let namespace: Namespace
    let restored: Restored

    /// Where a log that could not be trusted is kept, one at most: `raft.damaged` beside `raft`.
    static func asidePath(_ options: MetadataOptions) -> String { options.logDirectory + ".damaged" }

    /// - Parameters: as of `MetadataServer.start`.
    /// - Throws: `.corrupt` where nobody could admit the server anew, or it should found a group over remains; `.storage`.
    static func open(
        options: MetadataOptions, environment: Environment, stores: any StateStoreProvider, bootstrap: Bool, canRejoin: Bool, log: Log
    ) async throws(MetadataServerError) -> DurableState {
        var (store, namespace) = try await state { () throws(StoreError) in try await stores.open() }
        var storage: ConsensusStorage
        do throws(MetadataServerError) {
            storage = try await ConsensusStorage.open(
                environment: environment, options: options, stateIndex: namespace.appliedIndex, log: log)
        } catch {
            guard error.code == .corrupt else { throw error }
            guard canRejoin, !bootstrap else {
                throw MetadataServerError(
                    .corrupt, "\(error.cause); no other node is known that has the metadata, so this one cannot go on without it: restore a backup")
            }
            try await moveAside(options, environment.disk)
            log.error(
                "the metadata log cannot be trusted and was moved aside; this node takes part in the metadata group again when its leader has admitted it anew",
                ["cause": error.cause, "kept": asidePath(options)])
            storage = try await ConsensusStorage.open(environment: environment, options: options, stateIndex: 0, log: log)
        }
        if storage.restored == nil, namespace.appliedIndex > 0 {
            guard canRejoin, !bootstrap else {
                throw MetadataServerError(
                    .corrupt, "the metadata state is at index \(namespace.appliedIndex) but its log is empty, and no other node is known that has it")
            }
            log.error("the metadata state has no log that it belongs to, so it begins anew", ["index": "\(namespace.appliedIndex)"])
            (store, namespace) = try await state { () throws(StoreError) in
                let fresh = try await stores.makeFresh()
                try fresh.flush()
                try await stores.adopt(fresh)
                return fresh
            }
        }
        guard storage.restored != nil || bootstrap || canRejoin else {
            throw MetadataServerError(
                .corrupt, "the metadata of this node is gone, and no other node is known that has it: restore the data directory from a backup")
        }
        var restored =
            storage.restored
            ?? Restored(
                hardState: HardState(term: 0, vote: nil), snapshot: SnapshotMark(index: 0, term: 0, configuration: .unknown), entries: [])
        if storage.restored == nil, bootstrap {
            restored.snapshot.configuration = Configuration(voters: [options.node], learners: [])
            try await storage.bootstrap(restored.snapshot)
        }
        return DurableState(storage: storage, store: store, namespace: namespace, restored: restored)
    }

    private static func state(
        _ open: @LoopActor () async throws(StoreError) -> any OrderedStore
    ) async throws(MetadataServerError) -> (any OrderedStore, Namespace) {
        do throws(StoreError) {
            let store = try await open()
            return (store, try Namespace(store: store))
        } catch {
            throw MetadataServerError(.storage, "the metadata state cannot be opened: \(error.cause)")
        }
    }

    /// Renames the log's directory, in place of one that was kept before. A log that is not there was moved by an earlier start.
    private static func moveAside(_ options: MetadataOptions, _ disk: any Disk) async throws(MetadataServerError) {
        let aside = asidePath(options)
        let parent = String(options.logDirectory[..<(options.logDirectory.lastIndex(of: "/") ?? options.logDirectory.startIndex)])
        do throws(DiskError) {
            do throws(DiskError) {
                for name in try await disk.list(aside) { try await disk.remove(aside + "/" + name) }
                try await disk.remove(aside)
            } catch {
                guard error.code == .notFound else { throw error }
            }
            try await disk.rename(options.logDirectory, to: aside)
            try await disk.syncDirectory(parent.isEmpty ? "/" : parent)
        } catch {
            throw MetadataServerError(.storage, "the damaged metadata log cannot be moved aside: \(error.cause)")
        }
    }
}
