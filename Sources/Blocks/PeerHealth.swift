package import Membership
package import Model
package import Runtime

/// How well other daemons can be expected to answer: from the failure detector where there is one, and from how earlier calls went.
@LoopActor
package final class PeerHealth: Sendable {
    /// Better ones are less.
    package enum Rank: Int, Comparable, Sendable {
        case healthy, doubtful, down
        package static func < (left: Rank, right: Rank) -> Bool { left.rawValue < right.rawValue }
    }

    private struct Entry {
        var state = MemberState.alive
        /// Calls without an answer, one after the other.
        var silences = 0
        var penalisedUntil: UInt64 = 0
        /// A call was not answered, and observers of its return were not told since.
        var isMissed = false
        /// Smoothed duration of calls in nanoseconds.
        var latency: UInt64?
        var latencyTime: UInt64 = 0
    }

    /// More daemons than this are not remembered.
    private static let entriesMax = 4096
    private static let penalty = Nanoseconds.second
    private static let penaltyMax = 32 * Nanoseconds.second
    /// An older estimate says nothing; the daemon is tried again to learn a new one.
    private static let latencyLife = 30 * Nanoseconds.second

    private let clock: any Clock
    private var entries: [NodeID: Entry] = [:]
    private var returnObservers: [@LoopActor (NodeID) -> Void] = []

    package init(clock: any Clock) { self.clock = clock }

    /// What the failure detector thinks.
    package func note(_ state: MemberState, of node: NodeID) {
        var entry = entries[node] ?? Entry()
        let returned = entry.state != .alive && state == .alive
        entry.state = state
        if returned {
            entry.silences = 0
            entry.penalisedUntil = 0
            entry.isMissed = false
        }
        store(entry, for: node)
        if returned { tellReturn(of: node) }
    }

    /// A probe of the failure detector was answered. If calls were not, and their penalty is over, whoever waits for the daemon's return tries again: it was
    /// away too shortly for the detector to give it up. The penalty itself stays, since a daemon may answer probes and nothing else.
    package func noteProbeAnswer(of node: NodeID) {
        guard var entry = entries[node], entry.isMissed, entry.state == .alive, entry.penalisedUntil <= clock.now else { return }
        entry.isMissed = false
        store(entry, for: node)
        tellReturn(of: node)
    }

    /// A call was answered, whatever the answer.
    /// - Parameter latency: nanoseconds, where it says something about the daemon's speed.
    package func noteAnswer(of node: NodeID, latency: UInt64?) {
        var entry = entries[node] ?? Entry()
        entry.silences = 0
        entry.penalisedUntil = 0
        if let latency {
            if let old = entry.latency, clock.now &- entry.latencyTime < Self.latencyLife {
                entry.latency = old - old / 8 + latency / 8
            } else {
                entry.latency = latency
            }
            entry.latencyTime = clock.now
        }
        store(entry, for: node)
    }

    /// A call was not answered. For a while, twice as long each time, others are asked first.
    package func noteSilence(of node: NodeID) {
        var entry = entries[node] ?? Entry()
        entry.penalisedUntil = clock.now &+ min(Self.penalty << UInt64(min(entry.silences, 8)), Self.penaltyMax)
        entry.silences += 1
        entry.isMissed = true
        store(entry, for: node)
    }

    package func rank(of node: NodeID) -> Rank {
        guard let entry = entries[node] else { return .healthy }
        switch entry.state {
        case .down: return .down
        case .suspected: return .doubtful
        case .alive: return entry.penalisedUntil > clock.now ? .doubtful : .healthy
        }
    }

    /// Calls `body` when a daemon is alive again that the failure detector had given up, or that did not answer calls.
    package func onReturn(_ body: @escaping @LoopActor (NodeID) -> Void) { returnObservers.append(body) }

    /// `nodes` with the healthy first and the given order otherwise.
    /// - Parameter preferred: goes first if it is among the healthy.
    package func byHealth(_ nodes: [NodeID], preferring preferred: NodeID?) -> [NodeID] {
        sorted(nodes) { node in (rank(of: node).rawValue, node == preferred ? 0 : 1) }
    }

    /// `nodes` with the healthy first, and of those the quick. Daemons of about the same speed (within a factor of two) keep the
    /// given order, which differs from key to key and so spreads the load.
    package func bySpeed(_ nodes: [NodeID], preferring preferred: NodeID?) -> [NodeID] {
        sorted(nodes) { node in (rank(of: node).rawValue, node == preferred ? 0 : 1 + speedClass(of: node)) }
    }

    private func speedClass(of node: NodeID) -> Int {
        guard let entry = entries[node], let latency = entry.latency, clock.now &- entry.latencyTime < Self.latencyLife else { return 0 }
        // Below a millisecond all are equal.
        return UInt64.bitWidth - (latency / Nanoseconds.millisecond).leadingZeroBitCount
    }

    private func sorted(_ nodes: [NodeID], _ weight: (NodeID) -> (Int, Int)) -> [NodeID] {
        guard nodes.count > 1 else { return nodes }
        let weighted = nodes.enumerated().map { (weight: weight($0.element), place: $0.offset, node: $0.element) }
        return weighted.sorted { ($0.weight.0, $0.weight.1, $0.place) < ($1.weight.0, $1.weight.1, $1.place) }.map(\.node)
    }

    private func tellReturn(of node: NodeID) { for observer in returnObservers { observer(node) } }

    private func store(_ entry: Entry, for node: NodeID) {
        if entries[node] == nil, entries.count >= Self.entriesMax { return }
        entries[node] = entry
    }
}
