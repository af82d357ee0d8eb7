import Daemon
import OrderedStore
import Runtime
import TestSupport

/// What is on one machine's disk of its ordered stores. RocksDB's place is taken by stores in memory with the same crash semantics: without a log, what
/// was not flushed dies with the process, as it lies in the process's memory; with one, power loss alone takes it.
@LoopActor
final class SimulatedStores {
    private let random: SeededRandom
    private var blockIndex = StoreMedium()
    private var resync = StoreMedium(.logged)
    private var state = StateMedia()
    /// What the present process has of the metadata state.
    private(set) var stateStores: SimulatedStateStores?

    init(random: SeededRandom) { self.random = random }

    /// For a process that begins now. Those of an earlier process lead nowhere any more.
    func open(_ disk: any Disk) throws(DaemonError) -> NodeStores {
        let stateStores = SimulatedStateStores(media: state, disk: disk, directory: "/var/lib/dhtfs/meta")
        self.stateStores = stateStores
        do throws(StoreError) {
            return NodeStores(blockIndex: try SimulatedStore(blockIndex), resync: try SimulatedStore(resync), state: stateStores)
        } catch { throw DaemonError(.dataDirectory, error.cause) }
    }

    func crash(_ crash: StoreMedium.Crash) {
        let choice: StoreMedium.SeededChoice = { [random] bound in LoopActor.assumeIsolated { random.below(bound) } }
        blockIndex.crash(crash, random: choice)
        resync.crash(crash, random: choice)
        state.crash(crash, random: random)
    }

    func loseBlocks() {
        blockIndex = StoreMedium()
        resync = StoreMedium(.logged)
    }

    func loseMetadata() { state = StateMedia() }
}
