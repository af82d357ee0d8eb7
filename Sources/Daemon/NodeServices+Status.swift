import BlockStore
import Blocks
import Membership
import Metadata
import Model
import Ring
import Runtime

// What a daemon says of its services.
extension NodeServices {
    package func status() async -> NodeStatus {
        let now = environment.clock.now
        var status = NodeStatus(node: settings.node, program: "")
        status.uptimeSeconds = (now - started) / Nanoseconds.second
        status.layoutVersion = layouts.rings.layouts.current.version
        let group = metadata.status
        status.role =
            switch group.position {
            case .leader: "leader"
            case .preparing: "preparing"
            case .failed: "failed"
            case .follower where metadata.isRecovering: "recovering"
            case .follower: group.members.contains { $0.node == settings.node && $0.isVoter } ? "follower" : "learner"
            }
        status.term = group.term
        status.leader = group.leader
        status.voters = group.members.filter(\.isVoter).map(\.node)
        status.committedIndex = group.committed
        status.appliedIndex = group.applied
        status.sessions = group.sessions
        status.leases = group.leases
        status.locks = group.locks
        status.lockWaits = group.lockWaits
        if let store = try? await blockStore.statistics() {
            status.blocks = store.blocks
            status.liveBytes = store.liveBytes
            status.deadBytes = store.deadBytes
            status.quarantinedBlocks = UInt64(store.quarantined)
            status.diskTotalBytes = store.diskTotal
            status.diskAvailableBytes = store.diskAvailable
        }
        let owed = blocks.resync.status
        status.resyncLength = UInt64(owed.length)
        status.resyncOldestSeconds = (owed.oldestAge ?? 0) / Nanoseconds.second
        status.members = membership.members.map { member in
            NodeStatus.MemberView(
                node: member.node, state: "\(member.state)", sinceSeconds: (now - min(now, member.since)) / Nanoseconds.second,
                roundTripMicroseconds: (member.roundTrip ?? 0) / 1000)
        }
        return status
    }
}
