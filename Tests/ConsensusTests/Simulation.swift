import Model

@testable import Consensus

/// A whole group in one thread with virtual time: everything that can go wrong is drawn from one seed. Each step of each server is
/// checked by `History`.
struct Simulation {
    struct Server {
        let id: NodeID
        var raft: Raft
        var disk: SimulatedDisk
        var isUp = true
        /// Counts restarts: what belongs to an earlier life is dropped.
        var life = 0
        var frozenUntil: UInt64 = 0
        var applied: LogIndex = 0
        var writeEnd: UInt64 = 0
        /// The server's own clock: starts somewhere and runs up to 5 % fast or slow.
        var clockStart: UInt64
        var clockRate: UInt64
        /// A copy of its disk that was put by.
        var copy: SimulatedDisk?
    }

    /// Somebody who lost what it had promised, until it is a voter as before. One at a time, as with every failure of a disk.
    struct Loss {
        var server: Int
        /// What the disk held. It counts for what was acknowledged before: the loss of a disk is no worse than the death of its owner.
        var disk: SimulatedDisk
        /// Up to where its log went.
        var last: LogIndex
    }

    enum Action {
        case tick(Int, life: Int)
        case deliver(Message, from: Int, to: Int)
        case synced(Int, life: Int, token: UInt64)
        case snapshotArrives(SnapshotMark, from: Int, to: Int, life: Int)
        case snapshotEnded(SnapshotMark, from: Int, to: Int, life: Int, succeeded: Bool)
        case restart(Int)
        case client
        case fault
        case heal(Int)
    }

    /// How often things happened; a run that saw none of them proves nothing.
    struct Counts {
        var elections = 0
        var commits = 0
        var reads = 0
        var snapshots = 0
        var configurations = 0
        var truncations = 0
        var crashes = 0
        var wipes = 0
        var rollbacks = 0
        /// Losses that a leader told about, and those after which the server is a voter as before.
        var noticed = 0
        var returned = 0
        var steps = 0
    }

    final class Trace {
        var lines: [String] = []
    }

    static let millisecond: UInt64 = 1_000_000
    static let timing = Timing(tick: 100 * millisecond, heartbeat: 150 * millisecond, election: 500 * millisecond)

    var random: SplitMix
    var servers: [Server] = []
    var queue = EventQueue<Action>()
    var now: UInt64 = 0
    var history = History()
    var counts = Counts()
    var isCalm = false
    /// `cut[from][to]`: nothing gets through.
    var cut: [[Bool]]
    /// Of 1000 messages.
    var lossRate: UInt64
    var duplicationRate: UInt64
    var slowRate: UInt64
    var diskDelay: UInt64
    /// Of 1000 elections: the new leader is cut off at once, so that its first entry stays where it is (the way into figure 8).
    var upsetRate: UInt64
    /// Of 1000 faults: a voter loses its disk.
    var diskLossRate: UInt64
    var token: UInt64 = 0
    /// For each read that is not answered: what was committed when it began.
    var reads: [UInt64: LogIndex] = [:]
    var calmProposals: Set<UInt64> = []
    var loss: Loss?
    let trace: Trace?
    let prepare: (inout Raft) -> Void

    /// - Parameters:
    ///   - voters: how many servers the group begins with; one more stands by to be added.
    ///   - prepare: called with every new core.
    init(voters: Int, seed: UInt64, tracing: Bool = false, prepare: @escaping (inout Raft) -> Void = { _ in }) {
        random = SplitMix(seed: seed)
        self.prepare = prepare
        trace = tracing ? Trace() : nil
        let count = voters + 1
        cut = Array(repeating: Array(repeating: false, count: count), count: count)
        lossRate = [0, 20, 100, 250][Int(random.next(below: 4))]
        duplicationRate = [0, 50, 200][Int(random.next(below: 3))]
        slowRate = [0, 50, 200][Int(random.next(below: 3))]
        diskDelay = [1, 10, 60, 300][Int(random.next(below: 4))] * Self.millisecond
        upsetRate = [0, 200, 600][Int(random.next(below: 3))]
        diskLossRate = [0, 100, 400][Int(random.next(below: 3))]
        let group = Configuration(voters: (1...voters).map { NodeID(rawValue: UInt64($0)) }, learners: [])
        for number in 1...count {
            let id = NodeID(rawValue: UInt64(number))
            let mark = SnapshotMark(index: 0, term: 0, configuration: number <= voters ? group : .unknown)
            let start = random.next(below: 1000) * Self.millisecond
            let rate = 950 + random.next(below: 101)
            let disk = SimulatedDisk(snapshot: mark)
            var raft = Raft(id: id, restored: disk.restored, timing: Self.timing, seed: random.next(), now: start)
            prepare(&raft)
            servers.append(Server(id: id, raft: raft, disk: disk, clockStart: start, clockRate: rate))
            queue.push(.tick(number - 1, life: 0), at: random.next(below: 100) * Self.millisecond)
        }
        queue.push(.client, at: 0)
        queue.push(.fault, at: 600 * Self.millisecond)
    }

    func clock(_ server: Int) -> UInt64 { servers[server].clockStart + now / 1000 * servers[server].clockRate }

    mutating func chance(_ perThousand: UInt64) -> Bool { random.next(below: 1000) < perThousand }

    mutating func pick(_ count: Int) -> Int { Int(random.next(below: UInt64(count))) }

    func note(_ text: @autoclosure () -> String) {
        guard let trace else { return }
        trace.lines.append("\(now / Self.millisecond) ms: \(text())")
    }

    /// The faulty phase, then the calm one in which the group must recover.
    mutating func run(events: Int) throws {
        // The way back takes its time.
        for _ in 0..<(diskLossRate > 0 ? 2 * events : events) { try happen() }
        calm()
        for _ in 0..<20_000 {
            try happen()
            if hasConverged { return }
        }
        throw Violation(description: "liveness: the group did not recover")
    }

    private mutating func happen() throws {
        guard let (time, action) = queue.pop() else { return }
        now = max(now, time)
        switch action {
        case .tick(let server, let life):
            guard isRunning(server, life, action) else { return }
            queue.push(.tick(server, life: life), at: now + Self.timing.tick)
            try step(server, .tick)
        case .deliver(let message, let from, let to):
            guard isRunning(to, servers[to].life, action) else { return }
            try step(to, .received(message, from: servers[from].id))
        case .synced(let server, let life, let token):
            guard isRunning(server, life, action) else { return }
            servers[server].disk.sync(token: token)
            try step(server, .persisted(token: token))
        case .snapshotArrives(let mark, let from, let to, let life):
            guard servers[to].isUp else {
                return queue.push(.snapshotEnded(mark, from: from, to: to, life: life, succeeded: false), at: now)
            }
            guard isRunning(to, servers[to].life, action) else { return }
            guard servers[to].raft.acceptsSnapshot else {
                return queue.push(.snapshotEnded(mark, from: from, to: to, life: life, succeeded: false), at: now)
            }
            if mark.index > servers[to].applied {
                servers[to].disk.snapshot = mark
                servers[to].applied = mark.index
                counts.snapshots += 1
                try step(to, .snapshotInstalled(mark))
            }
            queue.push(.snapshotEnded(mark, from: from, to: to, life: life, succeeded: true), at: now + Self.millisecond)
        case .snapshotEnded(let mark, let from, let to, let life, let succeeded):
            guard isRunning(from, life, action) else { return }
            try step(from, .snapshotSent(to: servers[to].id, mark: mark, succeeded: succeeded))
        case .restart(let server): restart(server)
        case .client: try client()
        case .fault: fault()
        case .heal(let server): heal(server)
        }
    }

    /// Whether a server can take the event; a frozen one gets it when it wakes.
    private mutating func isRunning(_ server: Int, _ life: Int, _ action: Action) -> Bool {
        guard servers[server].isUp, servers[server].life == life else { return false }
        guard servers[server].frozenUntil <= now else {
            queue.push(action, at: servers[server].frozenUntil)
            return false
        }
        return true
    }

    mutating func restart(_ server: Int) {
        guard !servers[server].isUp else { return }
        servers[server].isUp = true
        let disk = servers[server].disk
        var raft = Raft(id: servers[server].id, restored: disk.restored, timing: Self.timing, seed: random.next(), now: clock(server))
        prepare(&raft)
        servers[server].raft = raft
        servers[server].applied = disk.snapshot.index
        servers[server].writeEnd = now
        note("\(servers[server].id.rawValue) restarts in term \(raft.term) with \(raft.compactedIndex)...\(raft.lastIndex)")
        queue.push(.tick(server, life: servers[server].life), at: now + Self.millisecond)
    }

    // MARK: Steps and effects

    mutating func step(_ server: Int, _ event: Event) throws {
        counts.steps += 1
        let lastBefore = servers[server].raft.lastIndex
        let effects = servers[server].raft.step(event, now: clock(server))
        if trace != nil {
            note("\(servers[server].id.rawValue) \(event)")
            for effect in effects { note("    -> \(effect)") }
        }
        for effect in effects { try perform(effect, server, lastBefore) }
        endLoss(server)
    }

    private mutating func perform(_ effect: Effect, _ server: Int, _ lastBefore: LogIndex) throws {
        switch effect {
        case .persist(let hardState, let entries, let token):
            if let first = entries.first {
                if first.index <= lastBefore { counts.truncations += 1 }
                guard let previous = servers[server].raft.mark(at: first.index - 1) else { throw Violation(description: "gap in a log") }
                try history.appended(entries, after: previous.term)
            }
            servers[server].disk.begin(SimulatedDisk.Pending(token: token, hardState: hardState, entries: entries))
            let delay = isCalm ? Self.millisecond : Self.millisecond + random.next(below: diskDelay)
            servers[server].writeEnd = max(servers[server].writeEnd, now + delay)
            queue.push(.synced(server, life: servers[server].life, token: token), at: servers[server].writeEnd)
        case .send(let message, let target): transmit(message, from: server, to: Int(target.rawValue) - 1)
        case .commit(let entries): try commit(entries, server)
        case .readable(let token, let index):
            guard let required = reads.removeValue(forKey: token) else { throw Violation(description: "read \(token) answered twice") }
            guard index >= required else { throw Violation(description: "linearizability: read at \(index) after commit of \(required)") }
            counts.reads += 1
        case .refused(let token, _): reads[token] = nil
        case .becameLeader:
            counts.elections += 1
            try history.elected(servers[server].id, servers[server].raft)
            upset(server)
        case .sendSnapshot(let target):
            let to = Int(target.rawValue) - 1
            let life = servers[server].life
            guard let mark = servers[server].raft.mark(at: servers[server].applied) else { throw Violation(description: "no snapshot") }
            let isLost = !isCalm && (cut[server][to] || chance(lossRate))
            let end = now + Self.millisecond + random.next(below: 50 * Self.millisecond)
            if isLost {
                queue.push(.snapshotEnded(mark, from: server, to: to, life: life, succeeded: false), at: end)
            } else {
                queue.push(.snapshotArrives(mark, from: server, to: to, life: life), at: end)
            }
        case .lostLog(let node): if loss?.server == Int(node.rawValue) - 1 { counts.noticed += 1 }
        case .accepted, .follows, .configuration, .standing: break
        }
    }

    private mutating func transmit(_ message: Message, from: Int, to: Int) {
        guard !cut[from][to] else { return }
        for copy in 0..<2 {
            if copy == 0 ? !isCalm && chance(lossRate) : isCalm || !chance(duplicationRate) { continue }
            let delay = !isCalm && chance(slowRate) ? random.next(below: 800) : 1 + random.next(below: 20)
            queue.push(.deliver(message, from: from, to: to), at: now + delay * Self.millisecond)
        }
    }

    private mutating func commit(_ entries: [Entry], _ server: Int) throws {
        let raft = servers[server].raft
        for entry in entries {
            guard entry.index == servers[server].applied + 1 else {
                throw Violation(description: "commit of \(entry.index) after \(servers[server].applied)")
            }
            servers[server].applied = entry.index
            guard try history.applied(entry, term: raft.term) else { continue }
            counts.commits += 1
            if case .configuration = entry.payload { counts.configurations += 1 }
        }
        // Whatever a leader commits ends with an entry of its own term and is on the disks of a majority.
        guard raft.role == .leader, let last = entries.last else { return }
        guard last.term == raft.term else { throw Violation(description: "§5.4.2: \(last.index) of an earlier term committed by counting") }
        let voters = raft.configuration.voters
        let holders = voters.count { voter in
            let server = Int(voter.rawValue) - 1
            return servers[server].disk.holds(last) || (loss?.server == server && loss?.disk.holds(last) == true)
        }
        guard holders > voters.count / 2 else {
            throw Violation(description: "durability: \(last.index) committed with \(holders) of \(voters.count) disks")
        }
    }

    // MARK: Recovery

    private mutating func calm() {
        note("calm")
        isCalm = true
        for server in servers.indices {
            servers[server].frozenUntil = now
            for other in servers.indices { cut[server][other] = false }
            restart(server)
        }
    }

    /// A leader is there, something proposed in the calm is committed, and all members have all of it.
    private var hasConverged: Bool {
        guard let leader = servers.filter({ $0.raft.role == .leader }).max(by: { $0.raft.term < $1.raft.term }) else { return false }
        let last = leader.raft.lastIndex
        guard leader.raft.commitIndex == last, calmProposals.isEmpty == false, case .data(let data) = history.committed.last?.entry.payload,
            data.first == 1, loss == nil
        else { return false }
        let configuration = leader.raft.configuration
        return (configuration.voters + configuration.learners).allSatisfy { servers[Int($0.rawValue) - 1].applied == last }
    }
}
