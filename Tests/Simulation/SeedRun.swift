import Blocks
import Consensus
import Daemon
import Filesystem
import Metadata
import Model
import Ring
import Runtime
import SimulationChecks
import TestSupport

/// One run of a seed: a cluster is made, clients work while faults happen; then all faults end, everything must come to rest, and what is left is
/// checked.
@LoopActor
final class SeedRun {
    private let plan: RunPlan
    let world: SimulatedWorld
    private let faults: SeededRandom
    private let script: FaultScript
    private let slots: [ClientSlot]
    private let nemesis: Nemesis
    private let load: Load
    var report = RunReport()

    init(_ plan: RunPlan) {
        self.plan = plan
        let trace = Trace(prints: plan.printsTrace)
        world = SimulatedWorld(
            seed: plan.seed, nodes: plan.nodes, replicas: min(3, plan.nodes), drift: plan.drift, trace: trace, logLevel: plan.logLevel)
        let random = SeededRandom(seed: plan.seed ^ 0xFA17)
        script =
            plan.script
            ?? FaultScript.draw(random, nodes: plan.nodes, clients: plan.clients, milliseconds: plan.seconds * 1000, isSwarm: plan.isSwarm)
        report.script = script
        faults = SeededRandom(seed: random.next())
        for machine in world.machines { world.start(machine) }
        let world = self.world
        slots = (1...plan.clients).map { ClientSlot($0, on: world.machines[$0 % world.machines.count], world) }
        nemesis = Nemesis(world, slots, random: faults)
        load = Load(world, slots, plan.workloads, random: SeededRandom(seed: random.next()))
    }

    /// What may take no longer than this, once nothing is wrong any more, in nanoseconds.
    private static let patience = 300 * Nanoseconds.second

    func run() async {
        await phases()
        report.simulated = world.time.now
        report.events = world.time.events
        report.faults = nemesis.count
        report.digest = world.trace.digest
        load.conclude(&report)
        if !report.violations.isEmpty { report.trace = Array(world.trace.tail(400)) }
    }

    private func phases() async {
        guard await reach("the cluster is complete", { self.isComplete }), await reach("the directories are made", { await self.load.prepare() }) else { return }
        world.trace.add(world.time.now, "run", "the load begins")
        let seconds = UInt64(plan.seconds) * Nanoseconds.second
        load.start(until: world.time.now + seconds)
        nemesis.plan(script)
        await world.time.sleep(nanoseconds: seconds)
        nemesis.healAll()
        guard await reach("all clients have ended their work", { self.load.isOver }),
            await reach("every daemon serves", { self.isComplete }),
            await reach("changes are written back", { await self.load.flush() }),
            await reach("no copies are owed", { self.owedCopies == 0 }),
            await reach("clients have left", {
                await self.load.leave()
                return true
            }),
            await reach("all sessions are closed", { self.sessions == 0 }),
            await reach("everything was read", {
                await self.load.readFinal()
                return true
            }),
            await reach("the last session is closed", { self.sessions == 0 && self.isComplete })
        else { return load.judge() }
        load.judge()
        let check = StateCheck(world: world)
        var last: [SimulationChecks.Violation] = []
        guard await reach("replicas agree, and nothing is left of files without a name", {
            last = check.metadata()
            // A check costs more than the second does.
            if !last.isEmpty { await self.world.time.sleep(nanoseconds: Nanoseconds.second) }
            return last.isEmpty
        }) else { return note(last) }
        if nemesis.hasRotted {
            // Nobody notices by himself that what is not read has rotted: the administrator has it checked.
            guard await reach("the repair has ended", {
                _ = await check.verify(repairs: true)
                return true
            }) else { return }
        }
        guard await reach("verify finds nothing", {
            last = await check.verify(repairs: false)
            if !last.isEmpty { await self.world.time.sleep(nanoseconds: 10 * Nanoseconds.second) }
            return last.isEmpty
        }) else { return note(last) }
    }

    private func note(_ violations: [Violation]) {
        report.violations += violations.map { .init(rule: $0.rule.rawValue, text: "\($0.subject)\n" + $0.lines.map { "    " + $0 }.joined(separator: "\n")) }
    }

    private var sessions: UInt64 {
        world.machines.compactMap { $0.daemon?.services?.metadata }.first { $0.isServing }?.status.sessions ?? .max
    }

    /// Waits until something is true.
    /// - Returns: false, with a violation noted, if it does not become true in time.
    private func reach(_ what: String, _ condition: @escaping @LoopActor () async -> Bool) async -> Bool {
        let waiting = Waiting()
        Task { @LoopActor in
            while await !condition() { await self.world.time.sleep(nanoseconds: 100 * Nanoseconds.millisecond) }
            waiting.isDone = true
        }
        let deadline = world.time.now + Self.patience
        while !waiting.isDone, world.time.now < deadline { await world.time.sleep(nanoseconds: 100 * Nanoseconds.millisecond) }
        if !waiting.isDone {
            let states = world.machines.map { machine in
                "\(machine.name): \(Self.state(of: machine))"
            }
            report.violations.append(
                .init(rule: "liveness", text: "not reached within \(Self.patience / Nanoseconds.second) s: \(what)\n    " + states.joined(separator: "\n    ")))
        }
        return waiting.isDone
    }

    private static func state(of machine: SimulatedMachine) -> String {
        guard let daemon = machine.daemon else { return "no daemon" }
        guard let services = daemon.services else { return daemon.failure ?? "starting" }
        let group = services.metadata.status
        let owed = services.blocks.resync.status
        return """
            \(daemon.failure ?? "\(daemon.process.state)"), \(group.position) of term \(group.term), applied \(group.applied), voters \
            \(group.members.filter(\.isVoter).map(\.node.rawValue)), learners \(group.members.filter { !$0.isVoter }.map(\.node.rawValue)), owes \
            \(owed.length) copies (\(owed.inProgress) being brought, \(owed.failedAttempts) attempts failed), sessions \(group.sessions)
            """
    }

    @LoopActor
    private final class Waiting: Sendable {
        var isDone = false
    }

    private var isComplete: Bool {
        let services = world.machines.compactMap { $0.daemon?.process.isDead == false ? $0.daemon?.services : nil }
        guard services.count == world.machines.count, let leader = services.first(where: { $0.metadata.isServing }) else { return false }
        let group = leader.metadata.members
        let committed = leader.metadata.status.committed
        return group.voters.count == min(3, services.count) && group.voters.count + group.learners.count == services.count
            && services.allSatisfy { $0.layouts.rings.layouts.current.members.count == services.count && $0.metadata.status.applied >= committed }
    }

    private var owedCopies: Int { world.machines.reduce(0) { $0 + Int($1.daemon?.services?.blocks.resync.status.length ?? 0) } }
}

extension RunReport {
    /// Runs a plan in this process, which has no other run before or after it.
    package static func of(_ plan: RunPlan) -> RunReport {
        #if CANARIES
            Canary.active = plan.canary
        #endif
        nonisolated(unsafe) var report = RunReport()
        nonisolated(unsafe) var made: (run: SeedRun, world: SimulatedWorld)?
        SimulatorExecutor.shared.run {
            let run = SeedRun(plan)
            made = (run, run.world)
        }
        guard let (run, world) = made else { return report }
        let isDone = SimulatedWorld.run(world, limit: .max) { await run.run() }
        SimulatorExecutor.shared.run { report = run.report }
        if !isDone { report.violations.append(.init(rule: "liveness", text: "nothing is left to happen, and the run has not ended")) }
        return report
    }
}
