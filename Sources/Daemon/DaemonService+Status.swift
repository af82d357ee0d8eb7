import BlockStore
import Blocks
import Glibc
import Membership
import Metadata
import Model
import Ring
import Runtime

// What this daemon says of itself.
extension DaemonService {
    func status() async -> NodeStatus {
        let now = environment.clock.now
        var status = NodeStatus(node: directory.node, program: program)
        status.uptimeSeconds = (now - started) / Nanoseconds.second
        status.residentBytes = Self.residentBytes()
        status.layoutVersion = layouts.rings.layouts.current.version
        let group = metadata.status
        status.role =
            switch group.position {
            case .leader: "leader"
            case .preparing: "preparing"
            case .failed: "failed"
            case .follower: group.members.contains { $0.node == directory.node && $0.isVoter } ? "follower" : "learner"
            }
        status.term = group.term
        status.leader = group.leader
        status.voters = group.members.filter(\.isVoter).map(\.node)
        status.committedIndex = group.committed
        status.appliedIndex = group.applied
        status.sessions = group.sessions
        status.leases = group.leases
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

    /// Of this process (proc(5), statm: the second number, in pages).
    private static func residentBytes() -> UInt64 {
        guard let content = try? LocalFile.read("/proc/self/statm") else { return 0 }
        let fields = content.split(separator: 0x20)
        guard fields.count > 1, let pages = UInt64(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
        return pages * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }
}
