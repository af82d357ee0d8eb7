import Model

// Membership change by one server at a time (dissertation §4.1, with the correction that the leader first commits an entry of its own
// term), and leadership transfer (dissertation §3.10).

extension Raft {
    mutating func change(to configuration: Configuration, token: UInt64) {
        guard role == .leader else { return effects.append(.refused(token: token, leader: leader)) }
        if let transfer = leadership.transfer { return effects.append(.refused(token: token, leader: transfer.target)) }
        guard configuration.isValid, hasCommittedInTerm, log.configurationIndex <= commitIndex,
            log.configuration.changes(to: configuration) == 1, newVotersHaveCaughtUp(in: configuration)
        else { return effects.append(.refused(token: token, leader: id)) }
        accept(.configuration(configuration), bytes: 0, token: token)
        refreshPeers()
    }

    /// A server that would count from now on must have what it would be counted for (dissertation §4.2.1). It also must have been admitted and must
    /// vote again: a majority that can be had only with a server that does not answer would be none.
    private func newVotersHaveCaughtUp(in configuration: Configuration) -> Bool {
        configuration.voters.allSatisfy { server in
            log.configuration.voters.contains(server) || leadership.peers.contains { $0.id == server && hasCaughtUp($0) }
        }
    }

    /// Brings what the leader keeps about the others in line with the configuration.
    mutating func refreshPeers() {
        let configuration = log.configuration
        let members = (configuration.voters + configuration.learners).filter { $0 != id }.sorted()
        leadership.peers = members.map { member in
            let isVoter = configuration.voters.contains(member)
            guard var known = leadership.peers.first(where: { $0.id == member }) else {
                return Progress(id: member, isVoter: isVoter, next: log.lastIndex + 1, now: now)
            }
            known.isVoter = isVoter
            return known
        }
    }

    /// A leader that is not a voter any more leads until that is committed (dissertation §4.2.2), tells so, and asks the best follower to go on.
    mutating func stepDownIfRemoved() {
        guard role == .leader, !isVoter, log.configurationIndex <= commitIndex else { return }
        heartbeat()
        if let heir = leadership.peers.filter(\.isVoter).max(by: { $0.match < $1.match }) { send(.timeoutNow, to: heir.id) }
        becomeFollower(term: term, leader: nil)
    }

    mutating func transferLeadership(to target: NodeID) {
        guard role == .leader, leadership.transfer == nil, leadership.peers.contains(where: { $0.id == target && $0.isVoter }) else { return }
        leadership.transfer = Leadership.Transfer(target: target, deadline: now + timing.election)
        finishTransferIfReady()
    }

    /// Tells the target to start its election once it has the whole log; then it wins.
    mutating func finishTransferIfReady() {
        guard let transfer = leadership.transfer, !transfer.told,
            leadership.peers.contains(where: { $0.id == transfer.target && $0.match == log.lastIndex })
        else { return }
        leadership.transfer?.told = true
        leadership.leaseForfeited = true
        send(.timeoutNow, to: transfer.target)
    }
}
