import BlockStore
import Blocks
import Bytes
import Daemon
import Digest
import Filesystem
import Metadata
import Model
import Namespace
import OrderedStore
import Ring
import Runtime
import SimulationChecks
import TestSupport
import Verification

/// What the clients do in a run, the record of it, and the judgement in the end.
@LoopActor
final class Load {
    private let world: SimulatedWorld
    private let slots: [ClientSlot]
    private let random: SeededRandom
    private let recorder: Recorder
    private let kinds: [WorkloadKind]
    private let pace: UInt64
    private var areas: [WorkloadKind: InodeID] = [:]
    private var deadline: UInt64 = 0
    /// The lives of clients, as the record has them, by the names of their processes.
    private var lives: [String: ClientID] = [:]
    private var running: [String: Int] = [:]
    private var result = CheckReport()

    /// - Parameter workloads: nil for what is drawn.
    init(_ world: SimulatedWorld, _ slots: [ClientSlot], _ workloads: [WorkloadKind]?, random: SeededRandom) {
        self.world = world
        self.slots = slots
        self.random = random
        recorder = Recorder(clock: world.time)
        recorder.onViolation = { [world] violation in world.trace.add(world.time.now, "check", violation.description) }
        var all = WorkloadKind.allCases
        var chosen: [WorkloadKind] = []
        for _ in 0..<2 + random.below(4) { chosen.append(all.remove(at: random.below(all.count))) }
        kinds = workloads ?? chosen
        pace = [100, 300, 500, 1000][random.below(4)] * Nanoseconds.millisecond
        world.onLog = { [weak self] name, line in self?.heard(name, line) }
    }

    private static let leads = "leads the metadata service term="
    private var leaders: [Substring: String] = [:]

    // MARK: Clients

    /// Makes the directories of the workloads. The cluster must serve.
    func prepare() async -> Bool {
        let files = await slots[0].client.mounted()
        do throws(Errno) {
            areas = try await WorkloadKind.prepare(kinds, files)
            return true
        } catch { return false }
    }

    func start(until deadline: UInt64) {
        self.deadline = deadline
        for slot in slots {
            slot.onStart = { [weak self] client in self?.begin(client, slot) }
            slot.onEnd = { [weak self] client in self?.ended(client) }
            if !slot.client.process.isDead { begin(slot.client, slot) }
        }
    }

    private func begin(_ client: SimulatedClient, _ slot: ClientSlot) {
        let life = recorder.started(machine: UInt16(slot.number))
        lives[client.name] = life
        running[client.name] = kinds.count
        let seeds = kinds.map { _ in random.next() }
        Task { @LoopActor in
            let files = await client.mounted()
            let own = client.metadata?.onSessionLost
            client.metadata?.onSessionLost = { [recorder] in
                recorder.sessionLost(life)
                own?()
            }
            for (kind, seed) in zip(kinds, seeds) {
                guard let area = areas[kind] else { continue }
                var context = WorkloadContext(
                    files: files, blocks: client.services.blocks, client: life, area: area, random: SeededRandom(seed: seed),
                    clock: client.environment.clock, recorder: recorder)
                context.pace = pace
                context.blockSize = SimulatedWorld.blockSize
                let workload = kind.make(context)
                let left = deadline > world.time.now ? deadline - world.time.now : 0
                Task { @LoopActor in
                    await workload.run(until: client.environment.clock.now + left)
                    running[client.name, default: 1] -= 1
                }
            }
        }
    }

    private func ended(_ client: SimulatedClient) {
        running[client.name] = nil
        if let life = lives.removeValue(forKey: client.name) { recorder.ended(life) }
    }

    /// A client that gives changes up says so in its log, and so does a server that leads.
    private func heard(_ name: String, _ line: String) {
        if line.contains(Self.leads), let term = line.split(separator: "=").last {
            let leader = leaders[term] ?? name
            leaders[term] = leader
            if leader != name { recorder.violate(Violation(.leaders, "term \(term)", "\(leader) led in it, and then \(name)")) }
        }
        guard let life = lives[name], line.hasPrefix("error ") else { return }
        if line.contains("names are lost") { return recorder.namesLost(life) }
        guard line.contains("are lost") || line.contains("given up") else { return }
        let inode = line.split(separator: " ").first { $0.hasPrefix("inode=") }.flatMap { UInt64($0.dropFirst(6)) }
        recorder.changesDropped(life, inode.map { InodeID(rawValue: $0) })
    }

    var isOver: Bool { running.values.allSatisfy { $0 <= 0 } }

    /// Writes everything back, in every client.
    /// - Returns: whether nothing is left to be written.
    func flush() async -> Bool {
        for slot in slots {
            let files = await slot.client.mounted()
            do throws(Errno) { try await files.syncAll() } catch { return false }
            guard files.memory.dirty == 0 else { return false }
        }
        return true
    }

    /// Unmounts every client in order.
    func leave() async {
        for slot in slots { await slot.client.metadata?.close() }
    }

    // MARK: Checks

    /// Reads all that is left through a new client, and judges it and the histories.
    func readFinal() async {
        let slot = slots[0]
        let client = world.startClient("final", on: slot.machine)
        let files = await client.mounted()
        await recorder.readFinal(FinalReader(files: files, blocks: client.services.blocks, client: recorder.started(machine: 999)))
        await client.metadata?.close()
    }

    func judge() {
        result = recorder.check(bound: 100_000)
    }

    func conclude(_ report: inout RunReport) {
        report.violations += result.violations.map { .init(rule: $0.rule.rawValue, text: "\($0.subject)\n" + $0.lines.map { "    " + $0 }.joined(separator: "\n")) }
        report.operations = result.operations
        report.open = result.open
        report.undecided = result.unknown
    }
}
