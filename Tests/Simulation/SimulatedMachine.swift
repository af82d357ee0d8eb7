package import Model
package import Ring
package import Runtime
package import TestSupport

/// A computer: what outlives its processes, and the processes.
@LoopActor
package final class SimulatedMachine: Sendable {
    package let name: String
    package let node: NodeID
    package let time: MachineTime
    package let disk: MemoryDisk
    let stores: SimulatedStores
    /// The newest layout that its daemon knew: a file that is replaced whole and synced.
    package var view: LayoutHistory
    /// The daemon has yet to found the cluster.
    var isFounding: Bool
    package var daemon: SimulatedDaemon?
    private let world: SimulatedWorld

    init(_ world: SimulatedWorld, name: String, node: NodeID, time: MachineTime, view: LayoutHistory, isFounding: Bool) {
        self.world = world
        self.name = name
        self.node = node
        self.time = time
        self.view = view
        self.isFounding = isFounding
        disk = MemoryDisk(clock: world.time, random: SeededRandom(seed: world.random.next()))
        disk.latency = .solidState
        stores = SimulatedStores(random: SeededRandom(seed: world.random.next()))
    }

    package var address: NodeAddress { Self.address(name) }

    static func address(_ name: String) -> NodeAddress {
        NodeAddress(host: name, port: 7070, machine: name, socketPath: "/var/lib/dhtfs/\(name)/socket")
    }

    /// Somebody removed the directory of the blocks.
    func loseBlocks() {
        stores.loseBlocks()
        disk.wipe("/var/lib/dhtfs/blocks")
    }

    /// Somebody removed the directories of the metadata.
    func loseMetadata() {
        stores.loseMetadata()
        disk.wipe("/var/lib/dhtfs/raft")
        disk.wipe("/var/lib/dhtfs/meta")
    }

    func isPowered(_ name: String) -> Bool { world.isPowered(name) }

    /// The outside of a new process on this machine.
    func environment(_ process: SimulatedProcess, identity: Peer) -> Environment {
        let random = SeededRandom(seed: world.random.next())
        return Environment(
            clock: ProcessClock(world.time, process, time), random: random,
            network: world.network.attach(process, machine: self, identity: identity),
            disk: disk.process(for: process), workers: ProcessWorkers(process))
    }
}

/// Computes at once.
@LoopActor
private final class ProcessWorkers: Workers {
    private let process: SimulatedProcess

    init(_ process: SimulatedProcess) { self.process = process }

    func run<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
        let result = work()
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in process.deliver { continuation.resume() } }
        return result
    }
}

extension MemoryDisk {
    /// The disk as one process has it.
    fileprivate func process(for process: SimulatedProcess) -> MemoryDiskProcess {
        let view = self.process()
        process.onStop { isFrozen in isFrozen ? view.freeze() : view.thaw() }
        process.onDeath { view.kill(random: self.random) }
        return view
    }
}
