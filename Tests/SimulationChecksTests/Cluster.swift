import Blocks
import Filesystem
import FilesystemWorld
import Metadata
import Model
import Namespace
import Runtime
import SimulationChecks
import TestSupport

/// Several mounts of one tree with workloads on each, on a virtual clock; with faults, kills and lost sessions.
@LoopActor
final class Cluster {
    /// One client machine.
    @LoopActor
    final class Client {
        let mount: Mount
        let files: FaultyFiles
        let id: ClientID

        init(_ mount: Mount, _ files: FaultyFiles, _ id: ClientID) {
            self.mount = mount
            self.files = files
            self.id = id
        }
    }

    let world: World
    let recorder: Recorder
    let random: SeededRandom
    private(set) var clients: [Client] = []
    private let fresh: Mount
    private var areas: [WorkloadKind: InodeID] = [:]
    let pace: UInt64
    /// What the workloads on blocks use.
    let blocks: FaultyBlocks

    init(clients count: Int, seed: UInt64, latency: UInt64 = 20 * Nanoseconds.millisecond, pace: UInt64 = 300 * Nanoseconds.millisecond) throws {
        world = try World(mounts: count + 1, seed: seed, jittery: true) {
            $0.blockSize = 16 << 10
            $0.cacheBytes = 1 << 20
            $0.dirtyBytes = 256 << 10
            $0.checkpointBytes = 64 << 10
            $0.prefetchBytes = 64 << 10
        }
        recorder = Recorder(clock: world.clock)
        random = SeededRandom(seed: seed &* 0x5851_F42D)
        fresh = world.mounts[count]
        blocks = FaultyBlocks(world.blocks, random: SeededRandom(seed: seed))
        self.pace = pace
        for number in 0..<count {
            let mount = world.mounts[number]
            let id = recorder.started(machine: UInt16(number))
            let files = FaultyFiles(mount.files, clock: world.clock, random: SeededRandom(seed: random.next()))
            files.latency = latency
            let own = mount.metadata.onSessionLost
            let recorder = recorder
            mount.metadata.onSessionLost = {
                recorder.sessionLost(id)
                own?()
            }
            clients.append(Client(mount, files, id))
        }
    }

    /// Starts workloads on every client, to end at the same time.
    func start(_ kinds: [WorkloadKind], for time: UInt64) async throws {
        areas = try await WorkloadKind.prepare(kinds, fresh.files)
        let deadline = world.clock.now + time
        for client in clients {
            for kind in kinds {
                guard let area = areas[kind] else { continue }
                var context = WorkloadContext(
                    files: client.files, blocks: blocks, client: client.id, area: area, random: SeededRandom(seed: random.next()),
                    clock: world.clock, recorder: recorder)
                context.pace = pace
                context.blockSize = 16 << 10
                let workload = kind.make(context)
                Task { @LoopActor in await workload.run(until: deadline) }
            }
        }
    }

    func advance(_ time: UInt64) async {
        // A few turns for each timer: what takes longer meets later timers.
        let target = world.clock.now + time
        while world.clock.now < target, await world.clock.advanceToNextTimer(turns: 3) {}
    }

    /// The machine is gone, with everything that was not committed.
    func kill(_ client: Client) {
        client.files.kill()
        client.mount.metadata.failure = MetadataError(.unavailable, "dead")
        world.leader.expel(client.mount.metadata)
        recorder.ended(client.id)
    }

    /// Reads everything through a client of its own, and judges.
    func judge(bound: Int = 200_000) async -> CheckReport {
        let reader = FinalReader(files: fresh.files, blocks: world.blocks, client: recorder.started(machine: 99))
        let finished = Finished()
        Task { @LoopActor in
            await recorder.readFinal(reader)
            finished.isDone = true
        }
        for _ in 0..<100_000 where !finished.isDone { _ = await world.clock.advanceToNextTimer(turns: 10) }
        precondition(finished.isDone, "the final reading does not end")
        return recorder.check(bound: bound)
    }

    @LoopActor
    private final class Finished {
        var isDone = false
    }
}
