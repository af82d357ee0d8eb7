import Model

// What a follower does with appends (figure 2, "AppendEntries RPC").

extension Raft {
    mutating func append(
        _ entries: [Entry], after sentIndex: LogIndex, previousTerm sentTerm: Term, commit: LogIndex, probe sentProbe: UInt64, from leader: NodeID
    ) {
        restartElectionTimer()
        quietUntil = now + timing.election
        guard isPossible(entries, after: sentIndex, previousTerm: sentTerm) else { return }
        probe = max(probe, sentProbe)
        var (previousIndex, previousTerm, first) = (sentIndex, sentTerm, 0)
        if previousIndex < commitIndex {
            // What is committed here equals every later leader's log (§5.4.3), so the comparison starts after it.
            first = min(entries.count, Int(commitIndex - previousIndex))
            matched = max(matched, commitIndex)
            previousIndex = commitIndex
            previousTerm = log.term(at: commitIndex) ?? previousTerm
        }
        guard log.term(at: previousIndex) == previousTerm else {
            let hint = log.last(upTo: min(previousIndex, log.lastIndex), termUpTo: previousTerm)
            return sendDurably(
                .conflict(rejected: previousIndex, index: hint, term: log.term(at: hint) ?? 0, probe: probe), to: leader)
        }
        let votedBefore = isVoter
        while first < entries.count, log.term(at: entries[first].index) == entries[first].term { first += 1 }
        if first < entries.count {
            // Only a server that breaks the protocol would change a committed entry.
            guard entries[first].index > commitIndex else { return }
            truncate(from: entries[first].index)
            for entry in entries[first...] { append(entry) }
        }
        matched = max(matched, max(previousIndex, sentIndex + UInt64(entries.count)))
        self.commit(upTo: min(commit, matched))
        if !votedBefore, isVoter { restartElectionTimer() }
        // With entries that the disk does not have yet, the end of their write answers.
        if entries.isEmpty || matched <= stableIndex { acknowledge() }
    }

    /// Tells the leader what is durable here and equal to its log.
    mutating func acknowledge() {
        guard role == .follower, let leader, standing != .recovering else { return }
        var index = min(matched, stableIndex)
        // With the whole of it the leader may make this server a voter, so that waits until it will vote.
        if case .admitted(let admission) = standing { index = min(index, admission - 1) }
        sendDurably(.appended(index: index, probe: probe), to: leader)
    }

    /// Whether a server that follows the protocol could send this.
    private func isPossible(_ entries: [Entry], after previousIndex: LogIndex, previousTerm: Term) -> Bool {
        guard previousIndex < Limits.number, entries.count <= Limits.batchEntries, previousTerm <= term else { return false }
        var index = previousIndex
        var last = previousTerm
        for entry in entries {
            guard entry.index == index + 1, entry.term >= last, entry.term <= term, entry.term > 0 else { return false }
            if case .configuration(let configuration) = entry.payload, !configuration.isValid { return false }
            if case .data(let data) = entry.payload, data.count > Limits.payload { return false }
            index += 1
            last = entry.term
        }
        return index <= Limits.number
    }
}
