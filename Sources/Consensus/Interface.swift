package import Model

/// A leader's period of office (Raft §5.1). Grows; 0 before the first election.
package typealias Term = UInt64
/// A place in the log, from 1.
package typealias LogIndex = UInt64

/// One entry of the replicated log.
package struct Entry: Equatable, Sendable {
    package enum Payload: Equatable, Sendable {
        /// The entry that a new leader commits first (§8).
        case empty
        /// A batch of commands of the state machine.
        case data([UInt8])
        /// The members of the group from this entry on, as soon as it is in the log (§6, single-server change).
        case configuration(Configuration)
    }

    package var term: Term
    package var index: LogIndex
    package var payload: Payload

    package init(term: Term, index: LogIndex, payload: Payload) {
        self.term = term
        self.index = index
        self.payload = payload
    }
}

/// Who takes part in the group.
package struct Configuration: Equatable, Sendable {
    /// Vote and count for commitment. Sorted.
    package var voters: [NodeID]
    /// Receive the log but neither vote nor count. Sorted.
    package var learners: [NodeID]

    package init(voters: [NodeID], learners: [NodeID]) {
        self.voters = voters.sorted()
        self.learners = learners.sorted()
    }
}

/// Whether a server remembers what it promised; see `Raft+Rejoining`.
package enum Standing: Equatable, Sendable {
    case trusted
    /// Its log is gone, or older than what it once acknowledged: it neither votes nor acknowledges until a leader admits it anew.
    case recovering
    /// Admitted anew: it acknowledges the leader's log, and votes again once everything up to this entry is committed and on its disk.
    case admitted(upTo: LogIndex)
}

/// What must be on disk before a promise is given (§5.2, figure 2 "Persistent state").
package struct HardState: Equatable, Sendable {
    package var term: Term
    package var vote: NodeID?
    package var standing: Standing

    package init(term: Term, vote: NodeID?, standing: Standing = .trusted) {
        self.term = term
        self.vote = vote
        self.standing = standing
    }
}

/// The last entry that a snapshot contains, and the group as of it (§7).
package struct SnapshotMark: Equatable, Sendable {
    package var index: LogIndex
    package var term: Term
    package var configuration: Configuration

    package init(index: LogIndex, term: Term, configuration: Configuration) {
        self.index = index
        self.term = term
        self.configuration = configuration
    }
}

/// What the shell tells the core. `Raft.step` takes one together with the monotonic time in nanoseconds.
package enum Event: Sendable {
    /// Time has passed; called at least every `Timing.tick`.
    case tick
    case received(Message, from: NodeID)
    /// Append a batch; answered by `.accepted` or `.refused` with the same token.
    case propose([UInt8], token: UInt64)
    /// Add or remove one voter or learner; refused while an earlier change is uncommitted, if it differs in more than one server, or if a
    /// server that shall vote is not a learner that has caught up.
    case changeConfiguration(Configuration, token: UInt64)
    /// Ask for a linearizable read (§8; dissertation §6.4): answered by `.readable` or `.refused`. Costs no message while the leader's lease holds.
    case read(token: UInt64)
    /// What `.persist` with this token carried is durable.
    case persisted(token: UInt64)
    /// The state machine contains everything up to `index`, durably enough that entries up to `mark.index` may go (§7).
    case compacted(SnapshotMark)
    /// A snapshot that arrived outside the core is installed and durable.
    case snapshotInstalled(SnapshotMark)
    /// The transfer that `.sendSnapshot` asked for has ended.
    case snapshotSent(to: NodeID, mark: SnapshotMark, succeeded: Bool)
    /// Hand leadership over (dissertation §3.10).
    case transferLeadership(to: NodeID)
}

/// What the core tells the shell to do, in this order. Everything may be done at once: whatever depends on the disk is told only after
/// `.persisted`.
package enum Effect: Equatable, Sendable {
    /// Write to the journal and sync; then step `.persisted(token)`. Entries replace everything in the log from the first one's index on.
    case persist(HardState?, [Entry], token: UInt64)
    case send(Message, to: NodeID)
    /// Apply these, in order; each index is told once.
    case commit([Entry])
    case accepted(token: UInt64, index: LogIndex, term: Term)
    /// Not leader, or leadership was lost before an answer. `leader` is who may know better. A refused proposal that was `.accepted` before
    /// may still be committed.
    case refused(token: UInt64, leader: NodeID?)
    /// A read may be answered once the state machine has applied up to `index`.
    case readable(token: UInt64, index: LogIndex)
    /// This server leads now; commands may be proposed. Its state is up to date once the term's empty entry is committed.
    case becameLeader(Term)
    /// This server does not lead (any more); `leader` is the one it follows, if known.
    case follows(leader: NodeID?, term: Term)
    /// `to` needs entries that are gone: send it a snapshot of the state machine (§7) outside the core, then step `.snapshotSent`.
    case sendSnapshot(to: NodeID)
    /// A configuration entry is in the log (or was taken back); in force from now on.
    case configuration(Configuration)
    /// This server's own standing has changed.
    case standing(Standing)
    /// This server leads, and a member that had acknowledged its log, or votes, has no log any more that can be trusted; it is admitted anew.
    case lostLog(NodeID)
}

/// Timeouts in nanoseconds.
package struct Timing: Equatable, Sendable {
    package var tick: UInt64
    package var heartbeat: UInt64
    /// A follower waits between this and twice this for a heartbeat.
    package var election: UInt64

    package init(tick: UInt64, heartbeat: UInt64, election: UInt64) {
        self.tick = tick
        self.heartbeat = heartbeat
        self.election = election
    }

    package static let standard = Timing(tick: 50_000_000, heartbeat: 150_000_000, election: 750_000_000)
}

/// A message between servers; byte layout by `ByteCodable`. The cases are the core's own business; the shell only carries them.
package struct Message: Equatable, Sendable {
    package var term: Term
    package var kind: Kind

    package enum Kind: Equatable, Sendable {
        /// `preVote`: asks without raising the term (dissertation §9.6). `transfer`: the sender was told to take over, so a lease does not stop the vote.
        case requestVote(lastIndex: LogIndex, lastTerm: Term, preVote: Bool, transfer: Bool)
        case vote(granted: Bool, preVote: Bool)
        /// `probe` is the sender's `now`, returned by the answer: it dates the leader's lease.
        case append(previousIndex: LogIndex, previousTerm: Term, entries: [Entry], commit: LogIndex, probe: UInt64)
        /// Everything up to `index` matches the leader's log and is durable.
        case appended(index: LogIndex, probe: UInt64)
        /// The entry at `rejected` (the append's `previousIndex`) is not in the follower's log. Its last entry that may match is `index`, of
        /// `term`, so that the leader skips whole terms on its way back (§5.3, end).
        case conflict(rejected: LogIndex, index: LogIndex, term: Term, probe: UInt64)
        /// Start an election at once (leadership transfer).
        case timeoutNow
        /// The answer to an append of a server without a log that can be trusted. `incarnation` is drawn when it finds out, never 0.
        case recovering(incarnation: UInt64, probe: UInt64)
        /// The leader takes that incarnation in; everything that is committed so far lies at or before `index`.
        case admit(incarnation: UInt64, index: LogIndex)
        /// The receiver once acknowledged everything up to `index`, and what it says now contradicts that.
        case distrust(index: LogIndex)
    }

    package init(term: Term, kind: Kind) {
        self.term = term
        self.kind = kind
    }
}

/// What a server starts from after a restart.
package struct Restored: Equatable, Sendable {
    package var hardState: HardState
    /// What the state machine's snapshot contains; index 0 and an empty group for a server that knows nothing yet.
    package var snapshot: SnapshotMark
    /// The entries after the snapshot, without gaps.
    package var entries: [Entry]

    package init(hardState: HardState, snapshot: SnapshotMark, entries: [Entry]) {
        self.hardState = hardState
        self.snapshot = snapshot
        self.entries = entries
    }
}
