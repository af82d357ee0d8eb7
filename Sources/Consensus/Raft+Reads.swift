import Model

// Linearizable reads without the log (§8; dissertation §6.4): a read index, confirmed by the lease or by a round of appends.

extension Raft {
    mutating func read(token: UInt64) {
        guard role == .leader else { return effects.append(.refused(token: token, leader: leader)) }
        guard leadership.reads.count < Limits.waitingReads else { return effects.append(.refused(token: token, leader: id)) }
        leadership.reads.append(Leadership.Read(token: token, time: now))
        serveReads()
    }

    /// Only then does the leader know that its commit index is not behind an earlier leader's.
    var hasCommittedInTerm: Bool { commitIndex >= leadership.firstIndex }

    /// Until when no other leader can be elected: every voter of a majority has promised not to vote for an election timeout from when
    /// it received an append, so from when that was sent; a fifth of it is left for clocks that run at different rates.
    private var leaseEnd: UInt64 {
        let proven = majority(own: now) { $0.echoed }
        return proven == 0 || leadership.leaseForfeited ? 0 : proven + timing.election / 5 * 4
    }

    mutating func serveReads() {
        guard !leadership.reads.isEmpty, hasCommittedInTerm else { return }
        let proven = majority(own: now) { $0.echoed }
        let byLease = now < leaseEnd
        let served = byLease ? leadership.reads.count : leadership.reads.firstIndex { $0.time > proven } ?? leadership.reads.count
        if served > 0 {
            for read in leadership.reads[..<served] { effects.append(.readable(token: read.token, index: commitIndex)) }
            leadership.reads.removeFirst(served)
        }
        if leadership.reads.isEmpty || (leadership.round != 0 && proven >= leadership.round) { leadership.round = 0 }
        // One round at a time: reads that come while one is out share the next.
        if !leadership.reads.isEmpty, leadership.round == 0 { startRound() }
    }

    private mutating func startRound() {
        leadership.round = now
        heartbeat()
    }
}
