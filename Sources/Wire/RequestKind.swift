package import Model

/// Every request that one process may send to another. The number is on the wire and never used again for another meaning.
package enum RequestKind: UInt16, CaseIterable, Sendable {
    // Consensus
    case raft = 1
    /// A piece of a snapshot of the metadata state.
    case raftSnapshot = 2
    // Metadata, from mounts and other clients
    case metadataSessionOpen = 16
    case metadataSessionRenew = 17
    case metadataSessionClose = 18
    case metadataQuery = 19
    case metadataCommand = 20
    case metadataLease = 21
    /// From the leader to a session: give a lease back.
    case metadataRecall = 22
    /// Advisory locks: set, test, give up waiting.
    case metadataLock = 23
    /// From the leader to a session: requests for locks that waited are granted.
    case metadataLockGranted = 24
    // Blocks
    case blockPut = 32
    case blockReplicate = 33
    case blockGet = 34
    case blockProbe = 35
    case blockDelete = 36
    case blockList = 37
    case blockCheck = 38
    case blockPullFrom = 39
    /// Where a block lies on disk, for a client of the same machine.
    case blockLocate = 40
    // Membership and cluster
    case probe = 48
    case status = 49
    /// The layout as this daemon knows it, possibly old: for who cannot find the leader.
    case layout = 50
    case metadataScan = 51
    case join = 54

    /// Who may send it; everybody else is refused. This is the one table of permissions: default deny.
    package var allowed: [Role] {
        switch self {
        case .raft, .raftSnapshot, .blockReplicate, .blockDelete: [.node]
        case .metadataRecall, .metadataLockGranted, .probe: [.node]
        case .metadataSessionOpen, .metadataSessionRenew, .metadataSessionClose, .metadataQuery, .metadataCommand, .metadataLease, .metadataLock:
            [.mount, .administrator, .node]
        case .blockPut, .blockGet, .blockProbe, .blockLocate: [.mount, .administrator, .node]
        case .status, .layout: [.mount, .administrator, .node]
        case .blockList, .blockCheck, .blockPullFrom, .metadataScan: [.administrator, .node]
        case .join: [.anonymous]
        }
    }
}
