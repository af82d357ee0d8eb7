package import Model

/// A failure detector in the manner of SWIM (Das, Gupta, Motivala 2002), as seen by one member.
///
/// Differences to the paper: every member decides for itself, nothing is gossiped (who is a member comes from the ring's layout, and
/// what one member thinks of another guides only its own requests); up to `probesPerTickMax` members are probed per period; any message is
/// a sign of life; members that flap must prove themselves.
package struct Membership: Sendable {
    /// More members than this are not watched.
    package static let membersMax = 1024

    private let configuration: MembershipConfiguration
    private var table: [NodeID: MemberStatus] = [:]
    /// The rest of this round, in an order drawn anew every round, so that each member is probed once per round (SWIM section 4.3).
    private var round: [NodeID] = []
    private var randomState: UInt64

    /// - Parameter seed: decides the order of probes and who is asked for indirect ones.
    package init(configuration: MembershipConfiguration = MembershipConfiguration(), seed: UInt64) {
        self.configuration = configuration
        randomState = seed
    }

    /// Every watched member, ordered by id.
    package var members: [MemberStatus] { table.values.sorted { $0.node < $1.node } }

    /// nil for a node that is not watched.
    package func status(of node: NodeID) -> MemberStatus? { table[node] }

    /// Takes in an event at the monotonic time `now`. Events about nodes that are not watched are ignored.
    package mutating func step(_ event: MembershipEvent, now: UInt64) -> [MembershipEffect] {
        var effects: [MembershipEffect] = []
        let configuration = configuration
        switch event {
        case .tick:
            tick(now, &effects)
        case .members(let nodes):
            replaceMembers(nodes, now)
        case .heard(let node):
            update(node) { Self.heard(&$0, configuration, now, &effects) }
        case .answered(let node, let roundTrip):
            update(node) { status in
                status.isProbed = false
                status.roundTrip = Self.smoothed(status.roundTrip, roundTrip)
                Self.heard(&status, configuration, now, &effects)
            }
        case .answeredIndirectly(let node):
            update(node) { status in
                status.isProbed = false
                Self.heard(&status, configuration, now, &effects)
            }
        case .missed(let node):
            guard var status = table[node] else { break }
            let helpers = helpers(for: node)
            if helpers.isEmpty {
                status.isProbed = false
                Self.missed(&status, configuration, now, &effects)
            } else {
                effects.append(.probeIndirectly(node, through: helpers))
            }
            table[node] = status
        case .missedIndirectly(let node):
            update(node) { status in
                status.isProbed = false
                Self.missed(&status, configuration, now, &effects)
            }
        }
        return effects
    }

    /// Changes the entry of `node`, if it is watched.
    private mutating func update(_ node: NodeID, _ change: (inout MemberStatus) -> Void) {
        guard var status = table[node] else { return }
        change(&status)
        table[node] = status
    }

    private mutating func replaceMembers(_ nodes: [NodeID], _ now: UInt64) {
        let wanted = Set(nodes.sorted().prefix(Self.membersMax))
        table = table.filter { wanted.contains($0.key) }
        for node in wanted where table[node] == nil { table[node] = MemberStatus(node: node, now: now) }
        round.removeAll { !wanted.contains($0) }
    }

    private mutating func tick(_ now: UInt64, _ effects: inout [MembershipEffect]) {
        let configuration = configuration
        for node in table.keys.sorted() {
            update(node) { status in
                while status.flaps > 0, now >= status.flapsSince &+ configuration.flapHalfLife {
                    status.flaps /= 2
                    status.flapsSince &+= configuration.flapHalfLife
                }
                if status.state == .suspected, status.provingSince == nil, now >= status.since &+ configuration.suspicionTime {
                    status.flaps = min(status.flaps + 1, 16)
                    status.flapsSince = now
                    Self.change(&status, to: .down, now, &effects)
                }
            }
        }
        // Members in doubt are probed at every tick; the others as the round comes to them.
        var chosen = table.values.filter { $0.missed > 0 || $0.state != .alive }.map(\.node).sorted()
        shuffle(&chosen)
        if chosen.count > configuration.probesPerTickMax { chosen.removeLast(chosen.count - configuration.probesPerTickMax) }
        var refilled = false
        while chosen.count < min(configuration.probesPerTickMax, table.count) {
            if round.isEmpty {
                if refilled { break }
                refilled = true
                var next = table.keys.sorted()
                shuffle(&next)
                round = next
            }
            guard let node = round.popLast() else { break }
            if !chosen.contains(node) { chosen.append(node) }
        }
        for node in chosen {
            update(node) { status in
                guard !status.isProbed else { return }
                status.isProbed = true
                effects.append(.probe(node))
            }
        }
    }

    private static func heard(
        _ status: inout MemberStatus, _ configuration: MembershipConfiguration, _ now: UInt64, _ effects: inout [MembershipEffect]
    ) {
        status.lastHeard = now
        status.missed = 0
        guard status.state != .alive else { return }
        let needed = provingTime(status, configuration)
        let since = status.provingSince ?? now
        status.provingSince = since
        if now &- since >= needed {
            change(&status, to: .alive, now, &effects)
        } else if status.state == .down {
            change(&status, to: .suspected, now, &effects)
        }
    }

    private static func missed(
        _ status: inout MemberStatus, _ configuration: MembershipConfiguration, _ now: UInt64, _ effects: inout [MembershipEffect]
    ) {
        status.missed = min(status.missed + 1, 1 << 20)
        if status.provingSince != nil, status.state == .suspected {
            // The time under suspicion begins again: what came before was a time of being heard.
            status.provingSince = nil
            status.since = now
        }
        if status.state == .alive, status.missed >= configuration.missesUntilSuspected {
            change(&status, to: .suspected, now, &effects)
        }
    }

    private static func change(_ status: inout MemberStatus, to state: MemberState, _ now: UInt64, _ effects: inout [MembershipEffect]) {
        effects.append(.changed(status.node, from: status.state, to: state))
        status.state = state
        status.since = now
        if state != .suspected { status.provingSince = nil }
    }

    /// How long a member that is not alive must be heard without a miss: 0 unless it flaps.
    private static func provingTime(_ status: MemberStatus, _ configuration: MembershipConfiguration) -> UInt64 {
        let excess = status.flaps - configuration.flapsUntilDamped
        guard excess >= 0 else { return 0 }
        let time = configuration.dampingTime.multipliedReportingOverflow(by: 1 << UInt64(min(excess, 16)))
        return time.overflow ? configuration.dampingTimeMax : min(time.partialValue, configuration.dampingTimeMax)
    }

    /// Members that may probe `node` for us.
    private mutating func helpers(for node: NodeID) -> [NodeID] {
        var others = table.values.filter { $0.node != node && $0.state == .alive && $0.missed == 0 }.map(\.node).sorted()
        shuffle(&others)
        return Array(others.prefix(configuration.indirectProbes))
    }

    private static func smoothed(_ old: UInt64?, _ sample: UInt64) -> UInt64 {
        guard let old else { return sample }
        return old - old / 8 + sample / 8
    }

    /// Fisher and Yates, with SplitMix64 (Steele et al. 2014) as the source.
    private mutating func shuffle(_ nodes: inout [NodeID]) {
        var index = nodes.count - 1
        while index > 0 {
            nodes.swapAt(index, Int(random() % UInt64(index + 1)))
            index -= 1
        }
    }

    private mutating func random() -> UInt64 {
        randomState &+= 0x9E37_79B9_7F4A_7C15
        var mixed = randomState
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
