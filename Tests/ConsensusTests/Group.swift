import Model

@testable import Consensus

/// A few servers whose messages and disk writes wait until a test lets them go.
struct Group {
    struct Parcel {
        var message: Message
        var from: UInt64
        var to: UInt64
    }

    static let timing = Timing(tick: 50_000_000, heartbeat: 100_000_000, election: 500_000_000)

    var servers: [UInt64: Raft] = [:]
    var mail: [Parcel] = []
    var unsynced: [UInt64: [UInt64]] = [:]
    var disks: [UInt64: SimulatedDisk] = [:]
    var effects: [UInt64: [Effect]] = [:]
    /// Milliseconds.
    var now: UInt64 = 1000
    var clock: UInt64 { now * 1_000_000 }
    /// Whether writes end at once.
    var syncs = true
    private var starts: UInt64 = 0
    let prepare: (inout Raft) -> Void

    init(_ voters: [UInt64], learners: [UInt64] = [], prepare: @escaping (inout Raft) -> Void = { _ in }) {
        self.prepare = prepare
        let configuration = Configuration(voters: voters.map(NodeID.init(rawValue:)), learners: learners.map(NodeID.init(rawValue:)))
        for id in voters + learners {
            disks[id] = SimulatedDisk(snapshot: SnapshotMark(index: 0, term: 0, configuration: configuration))
            start(id)
        }
    }

    mutating func start(_ id: UInt64) {
        guard let disk = disks[id] else { return }
        starts += 1
        var raft = Raft(id: NodeID(rawValue: id), restored: disk.restored, timing: Self.timing, seed: starts, now: clock)
        prepare(&raft)
        servers[id] = raft
        effects[id] = []
    }

    /// Loses what was not synced and the memory.
    mutating func restart(_ id: UInt64) {
        disks[id]?.crash(surviving: 0)
        unsynced[id] = []
        start(id)
    }

    @discardableResult
    mutating func step(_ id: UInt64, _ event: Event) -> [Effect] {
        let time = clock
        let new = servers[id]?.step(event, now: time) ?? []
        effects[id, default: []] += new
        for effect in new {
            switch effect {
            case .persist(let hardState, let entries, let token):
                disks[id]?.begin(SimulatedDisk.Pending(token: token, hardState: hardState, entries: entries))
                unsynced[id, default: []].append(token)
            case .send(let message, let target): mail.append(Parcel(message: message, from: id, to: target.rawValue))
            default: break
            }
        }
        if syncs { sync(id) }
        return new
    }

    mutating func sync(_ id: UInt64) {
        let tokens = unsynced[id] ?? []
        unsynced[id] = []
        for token in tokens {
            disks[id]?.sync(token: token)
            step(id, .persisted(token: token))
        }
    }

    /// Carries messages among `reachable` until there are none; those to and from others are lost.
    mutating func settle(_ reachable: [UInt64]) {
        while !mail.isEmpty {
            let parcel = mail.removeFirst()
            guard reachable.contains(parcel.from), reachable.contains(parcel.to) else { continue }
            step(parcel.to, .received(parcel.message, from: NodeID(rawValue: parcel.from)))
        }
    }

    /// Lets time pass and makes `id` campaign; `reachable` hear it.
    mutating func elect(_ id: UInt64, _ reachable: [UInt64]) {
        now += 1000
        step(id, .tick)
        settle(reachable)
    }

    mutating func propose(_ id: UInt64, _ data: [UInt8], token: UInt64 = 1) { step(id, .propose(data, token: token)) }

    mutating func heartbeat(_ id: UInt64, _ reachable: [UInt64]) {
        now += 110
        step(id, .tick)
        settle(reachable)
    }

    func role(_ id: UInt64) -> Raft.Role? { servers[id]?.role }
    func term(_ id: UInt64) -> Term { servers[id]?.term ?? 0 }
    func commit(_ id: UInt64) -> LogIndex { servers[id]?.commitIndex ?? 0 }
    func last(_ id: UInt64) -> LogIndex { servers[id]?.lastIndex ?? 0 }
    func termOf(_ index: LogIndex, _ id: UInt64) -> Term? { servers[id]?.mark(at: index)?.term }
    func sent(_ id: UInt64) -> [Message] {
        (effects[id] ?? []).compactMap { if case .send(let message, _) = $0 { message } else { nil } }
    }
}
