package import Model
package import Runtime

/// Environments for tests.
@LoopActor
package enum TestEnvironment {
    /// The machine's clock, randomness, disks and threads; connections in memory unless a network is given.
    package static func real(network: (any Network)? = nil) -> Environment {
        let clock = SystemClock.shared
        return .system(
            network: network ?? MemoryFabric(clock: clock).network("test", as: Peer(role: .node, node: NodeID(rawValue: 1), label: "test")))
    }

    /// Everything in memory, repeatable: virtual clock, seeded randomness, one machine on a fabric of its own.
    package static func memory(seed: UInt64 = 1) -> MemoryWorld { MemoryWorld(seed: seed) }
}

/// A world in memory with any number of machines.
@LoopActor
package final class MemoryWorld {
    package let clock: VirtualClock
    package let random: SeededRandom
    package let fabric: MemoryFabric

    package init(seed: UInt64 = 1) {
        clock = VirtualClock()
        random = SeededRandom(seed: seed)
        fabric = MemoryFabric(clock: clock)
    }

    /// The environment of one machine, which the others see as `peer`.
    /// - Parameter disk: the machine's disk; it outlives the environment, as a disk outlives a process.
    package func environment(_ name: String, as peer: Peer, disk: any Disk) -> Environment {
        Environment(clock: clock, random: random, network: fabric.network(name, as: peer), disk: disk, workers: InlineWorkers())
    }

    /// The environment of daemon number `number` with its own disk.
    package func node(_ number: UInt64, disk: (any Disk)? = nil) -> Environment {
        environment(
            "node\(number)", as: Peer(role: .node, node: NodeID(rawValue: number), label: "node\(number)"), disk: disk ?? MemoryDisk())
    }
}
