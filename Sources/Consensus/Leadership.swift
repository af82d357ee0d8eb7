import Model

/// What a server keeps only while it leads (figure 2, "Volatile state on leaders").
struct Leadership: Sendable {
    struct Read: Sendable {
        var token: UInt64
        /// An answer to an append sent at this time or later proves leadership after the read began.
        var time: UInt64
    }

    struct Proposal: Sendable {
        var token: UInt64
        var index: LogIndex
        var bytes: Int
    }

    struct Transfer: Sendable {
        var target: NodeID
        var deadline: UInt64
        var told = false
    }

    /// The other servers, in order of their ids.
    var peers: [Progress] = []
    /// The empty entry of this term; reads and configuration changes wait until it is committed (§8; dissertation §4.1 errata).
    var firstIndex: LogIndex = 0
    var heartbeatDue: UInt64 = 0
    /// Reads that wait for proof of leadership, oldest first.
    var reads: [Read] = []
    /// When the latest round of appends for waiting reads was sent; 0 if none is out.
    var round: UInt64 = 0
    /// Accepted and not committed, ascending.
    private var proposals: [Proposal] = []
    private var proposalsHead = 0
    private(set) var uncommittedBytes = 0
    var transfer: Transfer?
    /// A `.timeoutNow` left in this term: it may arrive at any time and voters ignore the lease for it, so there is none any more.
    var leaseForfeited = false

    var uncommittedProposals: Int { proposals.count - proposalsHead }

    mutating func accepted(_ proposal: Proposal) {
        proposals.append(proposal)
        uncommittedBytes += proposal.bytes
    }

    mutating func committed(upTo index: LogIndex) {
        while proposalsHead < proposals.count, proposals[proposalsHead].index <= index {
            uncommittedBytes -= proposals[proposalsHead].bytes
            proposalsHead += 1
        }
        if proposalsHead > proposals.count / 2 {
            proposals.removeFirst(proposalsHead)
            proposalsHead = 0
        }
    }

    /// The tokens that have no answer yet.
    var unanswered: [UInt64] { reads.map(\.token) + proposals[proposalsHead...].map(\.token) }
}
