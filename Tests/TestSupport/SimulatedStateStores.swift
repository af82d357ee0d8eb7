import Bytes
import Metadata
package import OrderedStore
package import Runtime

/// The stores of the metadata state of one machine, by the names of the directories in which a daemon would have them. Outlives its processes.
@LoopActor
package final class StateMedia {
    fileprivate var media: [String: StoreMedium] = [:]
    /// Asked by each medium, also by those that are made later.
    package var fault: ((_ operation: StoreMedium.Operation) -> StoreError.Code?)? {
        didSet { for medium in media.values { medium.fault = fault } }
    }

    package init() {}

    /// Names of the stores that exist, sorted.
    package var names: [String] { media.keys.sorted() }

    package func medium(_ name: String) -> StoreMedium? { media[name] }

    package func crash(_ crash: StoreMedium.Crash, random: SeededRandom? = nil) {
        for name in names { media[name]?.crash(crash, random: random.map { random in { bound in LoopActor.assumeIsolated { random.below(bound) } } }) }
    }

    fileprivate func make(_ name: String) -> StoreMedium {
        if let known = media[name] { return known }
        let medium = StoreMedium()
        medium.fault = fault
        media[name] = medium
        return medium
    }
}

/// The provider of a daemon's metadata state for one life of its process: as the daemon's own, with a file on the simulated disk that names the
/// store in use.
@LoopActor
package final class SimulatedStateStores: StateStoreProvider {
    private static let prefix = "state"
    private let media: StateMedia
    private let disk: any Disk
    private let directory: String
    private var used = SimulatedStateStores.prefix
    private var fresh: (name: String, store: SimulatedStore)?
    /// The store in use, as long as somebody has it open.
    package private(set) weak var current: SimulatedStore?
    /// How often a snapshot was put in place.
    package private(set) var adoptions = 0

    private var pointerPath: String { directory + "/current" }
    private var temporaryPath: String { directory + "/current.new" }

    package init(media: StateMedia, disk: any Disk, directory: String) {
        self.media = media
        self.disk = disk
        self.directory = directory
    }

    package func open() async throws(StoreError) -> any OrderedStore {
        do throws(DiskError) {
            try await disk.createDirectory(directory)
            try await disk.syncDirectory(directory)
            if try await disk.list(directory).contains("current") {
                let file = try await disk.open(pointerPath, .existing)
                used = String(decoding: try await file.read(at: 0, count: 256).bytes, as: UTF8.self)
                guard media.medium(used) != nil else {
                    throw DiskError(.notFound, errno: 2, "\(pointerPath) names the store \(used), which is not there")
                }
            }
        } catch {
            throw StoreError(error.code == .notFound ? .corrupt : .failed, error.cause)
        }
        await removeUnused()
        let store = try SimulatedStore(media.make(used))
        current = store
        return store
    }

    package func makeFresh() async throws(StoreError) -> any OrderedStore {
        fresh = nil
        await removeUnused()
        let number = 1 + (media.names.compactMap { Int($0.dropFirst(Self.prefix.count + 1)) }.max() ?? 0)
        let name = "\(Self.prefix)-\(number)"
        let store = try SimulatedStore(media.make(name))
        fresh = (name, store)
        return store
    }

    package func adopt(_ adopted: any OrderedStore) async throws(StoreError) {
        guard let (name, store) = fresh, store === adopted else { throw StoreError(.failed, "only the fresh store can be adopted") }
        do throws(DiskError) {
            if try await disk.list(directory).contains("current.new") { try await disk.remove(temporaryPath) }
            let file = try await disk.open(temporaryPath, .createNew)
            try await file.write([Slice(copying: Array(name.utf8))], at: 0, sync: true)
            try await disk.rename(temporaryPath, to: pointerPath)
            try await disk.syncDirectory(directory)
        } catch {
            throw StoreError(error.code == .noSpace ? .noSpace : .failed, error.cause)
        }
        used = name
        current = store
        fresh = nil
        adoptions += 1
    }

    package func removeUnused() async {
        for name in media.names where name != used && name != fresh?.name && media.medium(name)?.isOpen == false { media.media[name] = nil }
    }
}
