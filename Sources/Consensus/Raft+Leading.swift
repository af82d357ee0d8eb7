import Model

// What a leader does: the log goes out, answers come in, a majority commits (§5.3, §5.4.2).

extension Raft {
    mutating func leaderTick() {
        // Check-quorum: whoever has not heard from a majority within an election timeout does not lead any more.
        guard hasQuorum else { return becomeFollower(term: term, leader: nil) }
        if let transfer = leadership.transfer, now >= transfer.deadline { leadership.transfer = nil }
        if now >= leadership.heartbeatDue { heartbeat() }
    }

    private var hasQuorum: Bool { now < majority(own: now) { $0.lastContact } + timing.election }

    /// Sends one append to everybody: it keeps elections away, dates the lease, and finds out what was lost.
    mutating func heartbeat() {
        leadership.heartbeatDue = now + timing.heartbeat
        for peer in leadership.peers.indices {
            sendHeartbeat(peer)
        }
    }

    mutating func sendHeartbeat(_ peer: Int) {
        let progress = leadership.peers[peer]
        if progress.state == .probe, progress.trust == .full { return sendNext(peer, withEntries: false) }
        if progress.state == .replicate, log.term(at: progress.next - 1) == nil {
            // The log was compacted past what is on its way to it: if that was lost, nothing else would ever be noticed.
            leadership.peers[peer].become(.probe, next: progress.match + 1)
            return sendNext(peer, withEntries: false)
        }
        // A follower that lacks the entry before `next` lost something on the way and says so.
        let previousTerm = progress.state == .replicate ? log.term(at: progress.next - 1) : nil
        // A server that needs a snapshot shares nothing that could be compared but the start of the log.
        let previousIndex = previousTerm == nil ? 0 : progress.next - 1
        send(
            .append(previousIndex: previousIndex, previousTerm: previousTerm ?? 0, entries: [], commit: commitIndex, probe: now),
            to: progress.id)
    }

    /// Sends everybody what is new, as far as windows allow. Ends every step of a leader.
    mutating func replicate() {
        for peer in leadership.peers.indices {
            while leadership.peers[peer].next <= log.lastIndex, leadership.peers[peer].canSend { sendNext(peer, withEntries: true) }
        }
    }

    /// - Parameter withEntries: false for a probe that is repeated: entries follow when it is answered, and a server that is gone is not
    ///   sent the same ones with every heartbeat.
    private mutating func sendNext(_ peer: Int, withEntries: Bool) {
        let progress = leadership.peers[peer]
        guard let previousTerm = log.term(at: progress.next - 1) else {
            leadership.peers[peer].become(.snapshot, next: progress.next)
            effects.append(.sendSnapshot(to: progress.id))
            return sendHeartbeat(peer)
        }
        let (entries, bytes) = withEntries ? log.batch(from: progress.next) : ([], 0)
        send(
            .append(previousIndex: progress.next - 1, previousTerm: previousTerm, entries: entries, commit: commitIndex, probe: now),
            to: progress.id)
        if progress.state == .replicate, let last = entries.last {
            leadership.peers[peer].sent(last: last.index, bytes: bytes)
        } else {
            leadership.peers[peer].paused = true
        }
    }

    // MARK: Answers

    /// The peer that an answer to an append of this term comes from; nil if the answer is too old to say anything.
    mutating func answeringPeer(_ sender: NodeID, term messageTerm: Term, probe: UInt64) -> Int? {
        guard isMember(sender) else { return nil }
        if messageTerm > term {
            becomeFollower(term: messageTerm, leader: nil)
            return nil
        }
        // A probe from the future was never sent.
        guard role == .leader, messageTerm == term, probe <= now,
            let peer = leadership.peers.firstIndex(where: { $0.id == sender && probe >= $0.since })
        else { return nil }
        return peer
    }

    private func isMember(_ server: NodeID) -> Bool {
        log.configuration.voters.contains(server) || log.configuration.learners.contains(server)
    }

    mutating func appended(_ peer: Int, index: LogIndex) {
        guard index <= log.lastIndex else { return }
        var progress = leadership.peers[peer]
        let advanced = index > progress.match
        if advanced { progress.matched(index, now: now) }
        progress.next = max(progress.next, progress.match + 1)
        progress.answered(upTo: index)
        switch progress.state {
        case .probe: if progress.match + 1 >= progress.next { progress.become(.replicate, next: progress.match + 1) }
        case .replicate: break
        case .snapshot: if progress.match >= log.base.index { progress.become(.replicate, next: progress.match + 1) }
        }
        leadership.peers[peer] = progress
        if advanced {
            commitByCounting()
            // The commit may have ended this server's leadership.
            guard role == .leader else { return }
            finishTransferIfReady()
        }
        serveReads()
    }

    mutating func conflicted(_ peer: Int, rejected: LogIndex, index: LogIndex, term hintTerm: Term) {
        serveReads()
        let progress = leadership.peers[peer]
        guard rejected > progress.match, rejected < progress.next, progress.state != .snapshot else { return }
        // In `probe` only the answer to the latest append counts; older ones would send it back again.
        guard progress.state == .replicate || rejected == progress.next - 1 else { return }
        let bound = min(index, rejected - 1)
        // A place before the start of the log stays as it is: it means that the entries it needs are gone.
        let meeting = bound < log.base.index ? bound : log.last(upTo: bound, termUpTo: hintTerm)
        leadership.peers[peer].become(.probe, next: max(meeting, progress.match) + 1)
    }

    // MARK: Commitment

    /// §5.4.2: only an entry of the leader's own term is committed by counting; those before it are committed with it.
    mutating func commitByCounting() {
        #if CANARIES
            if Canary.commitsWithoutQuorum.isActive, stableIndex > commitIndex {
                commit(upTo: stableIndex)
                return committed(upTo: stableIndex)
            }
        #endif
        let index = majority(own: stableIndex) { $0.match }
        guard index > commitIndex else { return }
        guard log.term(at: index) == term || ignoresTermOfCommit else { return }
        commit(upTo: index)
        committed(upTo: index)
    }

    /// What a leader does when its commit index has grown to `index`.
    mutating func committed(upTo index: LogIndex) {
        leadership.committed(upTo: index)
        serveReads()
        stepDownIfRemoved()
    }

    private var ignoresTermOfCommit: Bool {
        #if DEBUG
            mutations.contains(.commitsEarlierTerms)
        #else
            false
        #endif
    }

    mutating func commit(upTo index: LogIndex) {
        guard index > commitIndex, index <= log.lastIndex else { return }
        effects.append(.commit(log.entries(commitIndex + 1...index)))
        commitIndex = index
    }

    // MARK: Commands and snapshots

    mutating func propose(_ data: [UInt8], token: UInt64) {
        guard role == .leader else { return effects.append(.refused(token: token, leader: leader)) }
        if let transfer = leadership.transfer { return effects.append(.refused(token: token, leader: transfer.target)) }
        guard data.count <= Limits.payload, leadership.uncommittedBytes + data.count <= Limits.uncommittedBytes,
            leadership.uncommittedProposals < Limits.uncommittedProposals
        else { return effects.append(.refused(token: token, leader: id)) }
        accept(.data(data), bytes: data.count, token: token)
    }

    mutating func accept(_ payload: Entry.Payload, bytes: Int, token: UInt64) {
        let index = log.lastIndex + 1
        append(Entry(term: term, index: index, payload: payload))
        leadership.accepted(Leadership.Proposal(token: token, index: index, bytes: bytes))
        effects.append(.accepted(token: token, index: index, term: term))
    }

    mutating func snapshotSent(to target: NodeID, mark: SnapshotMark, succeeded: Bool) {
        guard role == .leader, let peer = leadership.peers.firstIndex(where: { $0.id == target }),
            leadership.peers[peer].state == .snapshot
        else { return }
        let match = leadership.peers[peer].match
        if succeeded, mark.index <= log.lastIndex {
            leadership.peers[peer].become(.probe, next: max(match, mark.index) + 1)
        } else {
            // The next heartbeat finds that a snapshot is still needed and asks for it again.
            leadership.peers[peer].become(.probe, next: match + 1)
            leadership.peers[peer].paused = true
        }
    }
}
