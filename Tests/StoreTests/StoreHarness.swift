import BlockStore
import Bytes
import Digest
import Model
import OrderedStore
import Runtime
import Telemetry
import TestSupport

/// A block store on a disk in memory that can crash, with its index.
@LoopActor
final class StoreHarness {
    static let directory = "/blocks"
    let world = MemoryWorld(seed: 1)
    let disk: MemoryDisk
    /// The process that uses the disk, where it matters that it can die.
    var process: MemoryDiskProcess?
    var index = MemoryStore()
    /// Used in place of `index`, for what a crash makes of it.
    var medium: StoreMedium?
    var options: BlockStoreOptions

    init(segmentBytes: UInt64 = 128 << 10, capacity: UInt64 = 1 << 40) {
        disk = MemoryDisk(capacity: capacity)
        options = BlockStoreOptions(
            cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), segmentBytes: segmentBytes, blockBytesMax: 1 << 20,
            putBytesMax: 4 << 20, reserveBytes: 0, compactionBytesPerSecond: 0, compactsByItself: false)
    }

    func open(rebuildIndex: Bool = false) async throws(BlockStoreError) -> BlockStore {
        let store: any OrderedStore
        do throws(StoreError) { store = try medium.map { medium throws(StoreError) in try SimulatedStore(medium) } ?? index } catch {
            throw BlockStoreError(.failed, error.cause)
        }
        return try await BlockStore.open(
            environment: world.node(1, disk: process ?? disk), directory: Self.directory, index: store, options: options,
            log: JournalHarness.quiet, rebuildIndex: rebuildIndex)
    }

    /// What a loss of power leaves, opened again.
    func crash(random: SeededRandom? = nil) {
        disk.crash(random: random)
        index.crash()
    }

    private static var made: [[Int]: (BlockKey, Slice)] = [:]

    private static func block(_ number: Int, _ count: Int) -> (BlockKey, Slice) {
        if let known = made[[number, count]] { return known }
        let content = Slice(copying: JournalHarness.bytes(number, count: count))
        let block = (SHA256.key(of: content), content)
        made[[number, count]] = block
        return block
    }

    static func content(_ number: Int, count: Int = 1000) -> Slice { block(number, count).1 }
    static func key(_ number: Int, count: Int = 1000) -> BlockKey { block(number, count).0 }

    /// Puts blocks `numbers`, one after the other.
    func fill(_ store: BlockStore, _ numbers: some Sequence<Int> & Sendable, count: Int = 1000) async throws(BlockStoreError) {
        for number in numbers { try await store.put(Self.key(number, count: count), Self.content(number, count: count)) }
    }

    /// Whether each block has its bytes.
    func holds(_ store: BlockStore, _ numbers: some Sequence<Int> & Sendable, count: Int = 1000) async -> Bool {
        for number in numbers {
            guard let bytes = try? await store.get(Self.key(number, count: count), verify: .key),
                bytes.array == Self.content(number, count: count).array
            else { return false }
        }
        return true
    }

    func segmentPaths() -> [String] { disk.files.filter { $0.hasSuffix(".segment") } }
}

/// What `work` throws, by code; nil if it succeeds.
@LoopActor
func storeCode(_ work: @LoopActor () async throws(BlockStoreError) -> Void) async -> BlockStoreError.Code? {
    do throws(BlockStoreError) {
        try await work()
        return nil
    } catch {
        return error.code
    }
}
