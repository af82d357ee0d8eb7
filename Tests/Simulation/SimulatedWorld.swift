package import Model
import Ring
package import Runtime
package import Telemetry
package import TestSupport

/// Machines, cables, disks and time, from one seed.
@LoopActor
package final class SimulatedWorld: Sendable {
    package static let cluster = ClusterID(rawValue: 0x5EED)
    /// Small, so that files of a few kilobytes have several blocks.
    package static let blockSize = 4096

    package let seed: UInt64
    package let time = SimulatedTime()
    package let random: SeededRandom
    package let network: SimulatedNetwork
    package let trace: Trace
    package private(set) var machines: [SimulatedMachine] = []
    private var unpowered: [String] = []
    private let logLevel: LogLevel
    /// Hears every line of the processes' logs.
    package var onLog: (@LoopActor (_ name: String, _ line: String) -> Void)?

    /// - Parameter drift: how far a machine's clock may run fast or slow, in millionths.
    package init(seed: UInt64, nodes: Int, replicas: Int, drift: Int, trace: Trace, logLevel: LogLevel) {
        self.seed = seed
        self.trace = trace
        self.logLevel = logLevel
        random = SeededRandom(seed: seed)
        network = SimulatedNetwork(time: time, random: SeededRandom(seed: random.next()))
        let founder = LayoutMember(node: NodeID(rawValue: 1), address: SimulatedMachine.address("m1"), weight: 1, zone: "")
        guard let layout = try? Layout(version: 1, replicas: replicas, members: [founder]) else { preconditionFailure("a layout of one member is valid") }
        for number in 1...nodes {
            let clock = MachineTime(boot: 1_000_000_000 + random.next() % 1_000_000_000_000, drift: Int64(random.below(2 * drift + 1) - drift))
            machines.append(
                SimulatedMachine(
                    self, name: "m\(number)", node: NodeID(rawValue: UInt64(number)), time: clock, view: LayoutHistory(layout), isFounding: number == 1))
        }
    }

    func isPowered(_ name: String) -> Bool { !unpowered.contains(name) }

    func log(_ name: String, _ process: SimulatedProcess) -> Log {
        let line = LogLine(world: self, name: name)
        return Log(component: name, level: logLevel) { _, text in LoopActor.assumeIsolated { line.add(text) } }
    }

    // MARK: Processes

    /// Starts the daemon of a machine, if it has none.
    package func start(_ machine: SimulatedMachine) {
        if let daemon = machine.daemon, !daemon.process.isDead { return }
        unpowered.removeAll { $0 == machine.name }
        machine.daemon = SimulatedDaemon(machine, self)
    }

    /// kill -9 of a daemon: what it wrote stays in the page cache.
    package func kill(_ machine: SimulatedMachine) {
        machine.daemon?.process.kill()
    }

    /// Power loss: the daemon and the clients of the machine end without a word to anybody, and what was not synced is kept, torn or lost.
    package func powerOff(_ machine: SimulatedMachine) {
        guard isPowered(machine.name) else { return }
        unpowered.append(machine.name)
        network.silence(machine.name)
        machine.stores.crash(.power)
        machine.daemon?.process.kill()
        machine.disk.crash(random: random)
    }

    package func powerOn(_ machine: SimulatedMachine) {
        unpowered.removeAll { $0 == machine.name }
        network.forget(machine: machine.name)
        start(machine)
    }

    /// A new mount process.
    package func startClient(_ name: String, on machine: SimulatedMachine, role: Role = .mount) -> SimulatedClient {
        SimulatedClient(name, on: machine, self, role: role)
    }

    // MARK: Running

    /// Runs `body` to its end, and time with it.
    /// - Returns: false if nothing was left to happen before the end, or `limit` nanoseconds of the world passed.
    package nonisolated static func run(_ world: SimulatedWorld, limit: UInt64, _ body: @escaping @LoopActor () async -> Void) -> Bool {
        let executor = SimulatorExecutor.shared
        nonisolated(unsafe) var isDone = false
        Task { @LoopActor in
            await body()
            isDone = true
        }
        executor.runAll()
        nonisolated(unsafe) var isOver = false
        while !isDone, !isOver {
            executor.run {
                guard world.time.now <= limit, let call = world.time.next() else {
                    isOver = true
                    return
                }
                call()
            }
            executor.runAll()
        }
        return isDone
    }
}

@LoopActor
private final class LogLine: Sendable {
    private unowned let world: SimulatedWorld
    private let name: String

    init(world: SimulatedWorld, name: String) {
        self.world = world
        self.name = name
    }

    func add(_ text: String) {
        world.trace.add(world.time.now, name, text)
        world.onLog?(name, text)
    }
}
