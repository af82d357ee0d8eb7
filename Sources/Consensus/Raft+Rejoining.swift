import Model

// How a server whose log is gone (a wiped disk, a damaged file), or older than what it acknowledged (a copy that was put back), takes part again.
//
// Raft relies on promises: who acknowledged an entry has it, who voted in a term follows nobody of an earlier one. A server that forgot is
// therefore taken for dead, and comes back as a new one that happens to have the same id. What tells the two apart is its *incarnation*, a
// random number that it draws when it finds out (Viewstamped Replication Revisited, §4.3, uses a nonce in its recovery for the same).
//
//  1. Recovering, it neither votes nor campaigns nor acknowledges; it answers a leader's appends with its incarnation.
//  2. The leader forgets what it acknowledged, counts no answer to an append sent earlier (they are the dead server's), and makes it a learner if
//     it is a voter: an ordinary change by one server. The dead server cannot have been counted in a quorum formed after its death, and any two
//     quorums of the same or of neighbouring configurations meet; so each quorum that it was part of (of n voters, it and at least n/2 others)
//     and each formed without it (n/2 + 1 of the others before the change, (n - 1)/2 + 1 of the n - 1 after) meet in somebody else, who remembers:
//     n/2 + (n - 1)/2 + 1 = n > n - 1, whichever of the halves is rounded down. Nothing that was committed or voted depends on it alone.
//  3. The leader admits the incarnation once a configuration without its vote is committed and in force, and a majority of that has answered an
//     append that was sent after the leader had heard of the incarnation. The second condition matters: to a leader that was deposed and does
//     not know yet, it may still be the learner that it was before it became a voter, made promises to a later leader, and forgot them.
//     With it, no later leader had been elected when this incarnation began, hence all promises of the earlier ones are to this leader or its
//     predecessors, and everything that they helped to commit is in this leader's log up to its commit index.
//  4. Admitted, durably and with the leader's term, it follows and acknowledges. It votes again once that commit index is committed on its own
//     disk: its log then is at least as good as that of any majority it was part of. Until then its acknowledgements stay below that index, so
//     that nobody makes it a voter again before it votes.
//
// An old admission cannot be taken for a new one (it names the incarnation), nor an old answer for a new one (it echoes an earlier append).
// A server that joins for the first time has no log either and takes the same path.
//
// A leader notices an older log when a voter rejects what it acknowledged to this leader. What nobody can notice: an older copy put back while no
// leader was in office that the server had acknowledged the missing part to, and a term or vote that was lost without any entry being lost. Such a
// server acts on what it has, and may break a promise.

extension Raft {
    // MARK: The server without a log

    mutating func drawIncarnation() { incarnation = max(1, random.next()) }

    mutating func askForAdmission(probe sentProbe: UInt64, from leader: NodeID) {
        restartElectionTimer()
        probe = max(probe, sentProbe)
        send(.recovering(incarnation: incarnation, probe: sentProbe), to: leader)
    }

    mutating func admitted(incarnation admitted: UInt64, upTo index: LogIndex, by leader: NodeID) {
        guard standing == .recovering, admitted == incarnation, index > 0, index <= Limits.number else { return }
        incarnation = 0
        standing = .admitted(upTo: index)
        // As if it had voted for this leader: it cannot vote for another one in this term.
        if vote == nil { vote = leader }
        hardStateChanged = true
        matched = 0
        effects.append(.standing(standing))
        acknowledge()
    }

    /// The leader says that this server acknowledged what it has not.
    mutating func distrusted(afterAcknowledging index: LogIndex) {
        guard standing != .recovering, min(matched, stableIndex) < index else { return }
        standing = .recovering
        drawIncarnation()
        hardStateChanged = true
        matched = 0
        effects.append(.standing(standing))
    }

    /// Ends the time between admission and the first vote. Part of every step.
    mutating func trustIfCaughtUp() {
        guard case .admitted(let index) = standing, min(commitIndex, stableIndex) >= index else { return }
        standing = .trusted
        hardStateChanged = true
        effects.append(.standing(standing))
        acknowledge()
    }

    /// Whether a snapshot may be put in place of the state: only an admission that is durable lets anything in.
    package var acceptsSnapshot: Bool { standing != .recovering && !hardStateChanged && !writes.contains { $0.hasHardState } }

    // MARK: The leader

    /// Whether an answer counts; if so, notes that the peer lives and what that proves about the lease.
    mutating func counts(_ peer: Int, probe: UInt64, acknowledged: LogIndex?) -> Bool {
        let progress = leadership.peers[peer]
        switch progress.trust {
        case .full: break
        case .recovering:
            // It answers like this only after the admission, which is durable then; what it said before it lost its log is too old to come here.
            guard progress.admission > 0 else { return false }
            leadership.peers[peer].regainTrust(last: log.lastIndex)
            sendHeartbeat(peer)
        case .none(let earlier):
            guard let acknowledged, acknowledged >= earlier else {
                send(.distrust(index: earlier), to: progress.id)
                return false
            }
            leadership.peers[peer].regainTrust(last: log.lastIndex)
        }
        leadership.peers[peer].lastContact = now
        leadership.peers[peer].echoed = max(progress.echoed, probe)
        return true
    }

    /// Whether the peer rejects what it acknowledged, in answer to an append that was sent after the acknowledgement had come. If so, tells it.
    mutating func contradicts(_ peer: Int, rejected: LogIndex, probe: UInt64) -> Bool {
        let progress = leadership.peers[peer]
        guard progress.trust == .full, progress.match > 0, rejected <= progress.match, probe > progress.matchedAt else { return false }
        effects.append(.lostLog(progress.id))
        send(.distrust(index: progress.match), to: progress.id)
        leadership.peers[peer].lost(
            .none(acknowledged: progress.match), incarnation: progress.incarnation, last: log.lastIndex, now: now)
        return true
    }

    mutating func recovering(_ peer: Int, incarnation: UInt64) {
        let known = leadership.peers[peer]
        if known.incarnation != incarnation {
            if known.trust == .full, known.isVoter || known.match > 0 { effects.append(.lostLog(known.id)) }
            leadership.peers[peer].lost(.recovering, incarnation: incarnation, last: log.lastIndex, now: now)
            // The proof that the admission needs.
            heartbeat()
        }
        // Otherwise it was admitted since.
        guard leadership.peers[peer].trust == .recovering, log.configurationIndex <= commitIndex, hasCommittedInTerm else { return }
        if known.isVoter { return demote(known.id) }
        guard majority(own: now, { $0.echoed }) >= leadership.peers[peer].since || admitsWithoutProof else { return }
        leadership.peers[peer].admit(upTo: commitIndex)
        send(.admit(incarnation: incarnation, index: commitIndex), to: known.id)
    }

    /// Makes a voter a learner.
    private mutating func demote(_ server: NodeID) {
        let voters = log.configuration.voters.filter { $0 != server }
        guard !voters.isEmpty, leadership.transfer == nil else { return }
        let changed = Configuration(voters: voters, learners: log.configuration.learners + [server])
        append(Entry(term: term, index: log.lastIndex + 1, payload: .configuration(changed)))
        refreshPeers()
    }

    /// Whether a learner has what a voter must have: then it also votes, see point 4 above.
    func hasCaughtUp(_ peer: Progress) -> Bool {
        peer.trust == .full && peer.match >= max(leadership.firstIndex, log.configurationIndex, peer.admission, 1)
    }

    private var admitsWithoutProof: Bool {
        #if DEBUG
            mutations.contains(.admitsWithoutProof)
        #else
            false
        #endif
    }
}
