import Model

// Terms, leader election (§5.2), the restriction on who may be elected (§5.4.1), pre-vote and check-quorum (dissertation §9.6, §6.2).

extension Raft {
    mutating func restartElectionTimer() { electionDeadline = now + timing.election + random.next(below: timing.election) }

    mutating func tick() {
        if role == .leader { return leaderTick() }
        guard now >= electionDeadline else { return }
        guard mayCampaign, term < Limits.number else { return restartElectionTimer() }
        if isAlone { campaign(transfer: false) } else { preCampaign() }
    }

    /// Follows `newLeader`, or nobody yet, in `newTerm`, which is this term or a later one.
    mutating func becomeFollower(term newTerm: Term, leader newLeader: NodeID?) {
        let changed = role == .leader || newTerm != term || newLeader != leader
        let unanswered = role == .leader ? leadership.unanswered : []
        if newTerm > term {
            term = newTerm
            vote = nil
            hardStateChanged = true
        }
        role = .follower
        leader = newLeader
        matched = 0
        probe = 0
        votes = [:]
        leadership = Leadership()
        restartElectionTimer()
        if changed { effects.append(.follows(leader: newLeader, term: term)) }
        for token in unanswered { effects.append(.refused(token: token, leader: newLeader)) }
    }

    /// Accepts `sender` as the leader of `messageTerm`.
    ///
    /// - Returns: false if it cannot be that.
    mutating func follow(_ sender: NodeID, term messageTerm: Term) -> Bool {
        // Two leaders in one term are impossible (§5.2), and term 0 has none.
        guard messageTerm >= term, messageTerm > 0, messageTerm > term || role != .leader else { return false }
        if messageTerm == term, let leader, leader != sender { return false }
        if messageTerm > term || role != .follower || leader != sender { becomeFollower(term: messageTerm, leader: sender) }
        return true
    }

    // MARK: Campaign

    private mutating func preCampaign() {
        let changed = leader != nil
        role = .preCandidate
        leader = nil
        votes = [:]
        restartElectionTimer()
        if changed { effects.append(.follows(leader: nil, term: term)) }
        for voter in log.configuration.voters where voter != id {
            let request = Message.Kind.requestVote(lastIndex: log.lastIndex, lastTerm: log.lastTerm, preVote: true, transfer: false)
            effects.append(.send(Message(term: term + 1, kind: request), to: voter))
        }
        count(granted: true, from: id)
    }

    /// Asks for votes in a new term. The requests wait for the disk too: after a crash this server could otherwise campaign in the same
    /// term again, with a shorter log, and count votes that were given for the longer one.
    mutating func campaign(transfer: Bool) {
        guard term < Limits.number else { return }
        let changed = leader != nil
        role = .candidate
        term += 1
        vote = id
        leader = nil
        hardStateChanged = true
        votes = [:]
        matched = 0
        probe = 0
        restartElectionTimer()
        if changed { effects.append(.follows(leader: nil, term: term)) }
        afterHardState(.ownVote)
        for voter in log.configuration.voters where voter != id {
            sendDurably(.requestVote(lastIndex: log.lastIndex, lastTerm: log.lastTerm, preVote: false, transfer: transfer), to: voter)
        }
    }

    mutating func count(granted: Bool, from voter: NodeID) {
        guard votes[voter] == nil, log.configuration.voters.contains(voter) else { return }
        votes[voter] = granted
        let voters = log.configuration.voters
        let yes = voters.count { votes[$0] == true }
        let no = voters.count { votes[$0] == false }
        let needed = voters.count / 2 + 1
        if yes >= needed {
            if role == .preCandidate { campaign(transfer: false) } else { becomeLeader() }
        } else if no > voters.count - needed {
            becomeFollower(term: term, leader: nil)
        }
    }

    mutating func takeVote(from sender: NodeID, term messageTerm: Term, granted: Bool, preVote: Bool) {
        guard log.configuration.voters.contains(sender) else { return }
        if preVote, granted {
            // It carries the term that was asked for.
            if role == .preCandidate, messageTerm == term + 1 { count(granted: true, from: sender) }
            return
        }
        if messageTerm > term { return becomeFollower(term: messageTerm, leader: nil) }
        guard messageTerm == term || preVote, role == (preVote ? .preCandidate : .candidate) else { return }
        count(granted: granted, from: sender)
    }

    private mutating func becomeLeader() {
        role = .leader
        leader = id
        votes = [:]
        leadership = Leadership()
        leadership.firstIndex = log.lastIndex + 1
        // The empty entry goes out at once and says the same as a heartbeat.
        leadership.heartbeatDue = now + timing.heartbeat
        refreshPeers()
        effects.append(.becameLeader(term))
        append(Entry(term: term, index: log.lastIndex + 1, payload: .empty))
    }

    // MARK: Answers

    /// Whether this server hears a leader, or is one that a majority hears: then nobody needs another (dissertation §4.2.3), and a
    /// leader may answer reads by its lease.
    private var hearsLeader: Bool {
        role == .leader ? now < majority(own: now) { $0.lastContact } + timing.election : now < quietUntil
    }

    private func isUpToDate(lastIndex: LogIndex, lastTerm: Term) -> Bool {
        #if CANARIES
            if Canary.electsOutdated.isActive { return true }
        #endif
        return (lastTerm, lastIndex) >= (log.lastTerm, log.lastIndex)
    }

    /// Neither changes anything nor promises anything.
    mutating func answerPreVote(from sender: NodeID, term asked: Term, lastIndex: LogIndex, lastTerm: Term) {
        let granted = asked > term && !hearsLeader && isUpToDate(lastIndex: lastIndex, lastTerm: lastTerm)
        sendDurably(.vote(granted: granted, preVote: true), term: granted ? asked : term, to: sender)
    }

    mutating func answerVote(from sender: NodeID, term asked: Term, lastIndex: LogIndex, lastTerm: Term, transfer: Bool) {
        if asked > term {
            guard transfer || !hearsLeader else { return sendDurably(.vote(granted: false, preVote: false), to: sender) }
            becomeFollower(term: asked, leader: nil)
        }
        #if CANARIES
            if Canary.votesTwice.isActive, asked == term, role == .follower { (vote, leader) = (nil, nil) }
        #endif
        let free = vote == sender || (vote == nil && leader == nil)
        guard asked == term, role == .follower, free, isUpToDate(lastIndex: lastIndex, lastTerm: lastTerm) else {
            return sendDurably(.vote(granted: false, preVote: false), to: sender)
        }
        restartElectionTimer()
        #if DEBUG
            if mutations.contains(.votesWithoutPersisting) {
                vote = sender
                hardStateChanged = true
                return send(.vote(granted: true, preVote: false), to: sender)
            }
        #endif
        if vote != sender {
            vote = sender
            hardStateChanged = true
        }
        sendDurably(.vote(granted: true, preVote: false), to: sender)
    }
}
