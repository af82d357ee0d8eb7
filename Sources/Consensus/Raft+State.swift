package import Model

// What a shell may look at, and the small questions that every part asks.

extension Raft {
    /// The last entry of the log.
    package var lastIndex: LogIndex { log.lastIndex }
    /// The last entry that was compacted away; 0 if none was.
    package var compactedIndex: LogIndex { log.base.index }
    /// The configuration in force: the last one in the log, committed or not.
    package var configuration: Configuration { log.configuration }
    /// The entry that brought the configuration in force; it is committed if `commitIndex` has reached it.
    package var configurationIndex: LogIndex { log.configurationIndex }
    /// Whether this server votes and counts in the configuration in force.
    package var isVoter: Bool { log.configuration.voters.contains(id) }
    /// Entries that the leader has accepted and not committed.
    package var uncommittedProposals: Int { leadership.uncommittedProposals }

    /// The mark of a snapshot of the state machine that has applied exactly up to `index`; nil if that entry is not in the log.
    package func mark(at index: LogIndex) -> SnapshotMark? { log.mark(at: index) }

    /// What a leader knows about another server.
    package struct PeerStatus: Equatable, Sendable {
        package var id: NodeID
        package var isVoter: Bool
        /// The last entry known to be durable there.
        package var matchIndex: LogIndex
        /// When it last answered, on the clock of `step`; the start of the term if it has not.
        package var lastContact: UInt64
        /// Whether it is being sent a snapshot.
        package var needsSnapshot: Bool
        /// Whether it could be made a voter, as far as its log goes.
        package var hasCaughtUp: Bool
        /// Whether it has no log that can be trusted and is not admitted yet.
        package var isRecovering: Bool
    }

    /// The other servers, by id; empty unless this server leads.
    package var peers: [PeerStatus] {
        guard role == .leader else { return [] }
        return leadership.peers.map {
            PeerStatus(
                id: $0.id, isVoter: $0.isVoter, matchIndex: $0.match, lastContact: $0.lastContact, needsSnapshot: $0.state == .snapshot,
                hasCaughtUp: hasCaughtUp($0), isRecovering: $0.trust != .full)
        }
    }

    /// Whether this server alone has ever voted, as far as the log tells: then nobody else can lead, and it need not wait.
    var isAlone: Bool {
        guard log.configuration.voters == [id] else { return false }
        return ([log.base.configuration] + log.changes.map(\.configuration)).allSatisfy { $0.voters == [id] || $0 == .unknown }
    }

    /// Whether this server may be needed as leader: it votes in a configuration that may be the committed one. One that is removed or
    /// demoted by an entry that is not committed yet may be the only one with that entry, and then nobody else can win (dissertation §4.2.2).
    var mayCampaign: Bool {
        guard standing == .trusted else { return false }
        if isVoter { return true }
        guard log.configurationIndex > commitIndex else { return false }
        let committed = log.mark(at: commitIndex)?.configuration ?? log.base.configuration
        return committed.voters.contains(id) || log.changes.contains { $0.index > commitIndex && $0.configuration.voters.contains(id) }
    }

    /// The largest number that a majority of the voters reaches.
    ///
    /// - Parameter own: this server's number; counts only if it votes.
    func majority(own: UInt64, _ value: (Progress) -> UInt64) -> UInt64 {
        let ownVote = isVoter
        let needed = log.configuration.voters.count / 2 + 1
        func reaches(_ number: UInt64) -> Bool {
            var count = ownVote && own >= number ? 1 : 0
            for peer in leadership.peers where counts(peer) && value(peer) >= number { count += 1 }
            return count >= needed
        }
        var best: UInt64 = 0
        if ownVote, reaches(own) { best = own }
        for peer in leadership.peers where counts(peer) && value(peer) > best && reaches(value(peer)) { best = value(peer) }
        return best
    }

    private func counts(_ peer: Progress) -> Bool {
        #if DEBUG
            if mutations.contains(.countsLearners) { return true }
        #endif
        return peer.isVoter
    }
}

#if DEBUG
    /// Faults that tests put into the core, to see that their checks find them. Not compiled into a release.
    enum Mutation: Sendable {
        /// Commits entries of earlier terms by counting (against §5.4.2).
        case commitsEarlierTerms
        /// Answers a vote request before the vote is durable (against §5.2).
        case votesWithoutPersisting
        /// Counts learners for commitment.
        case countsLearners
        /// Admits whoever asks, without proof that it leads.
        case admitsWithoutProof
    }
#endif
