package import Consensus
package import Digest
package import Model
import Namespace
import OrderedStore
import Runtime

// The members of the group, and how it is doing.
extension MetadataServer {
    /// Whether this server leads and serves.
    package var isServing: Bool { leadership?.phase == .serving }

    /// Who takes part in the group, as this server knows it.
    package var members: Configuration { configuration }

    /// Changes the group by one server; returns when the change is committed.
    /// - Throws: `.notLeader`; `.refused` if another change is under way or this one differs in more than one server.
    package func changeConfiguration(_ changed: Configuration) async throws(MetadataServerError) {
        guard leadership != nil else { throw MetadataServerError(.notLeader, "this server does not lead") }
        let token = nextToken
        nextToken += 1
        let result = await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<LogIndex, MetadataServerError>, Never>) in
            changeWaiters[token] = continuation
            step(.changeConfiguration(changed, token: token))
        }
        let index = try result.get()
        while namespace.appliedIndex < index {
            guard leadership != nil else { throw MetadataServerError(.notLeader, "this server leads no more") }
            await withUnsafeContinuation { appliedWaiters.append(AppliedWaiter(index: index, continuation: $0)) }
        }
    }

    /// Whether this server's log is gone or cannot be trusted, and no leader has admitted it anew yet; it takes no part until then.
    package var isRecovering: Bool { raft.standing == .recovering }

    /// The learner that would make the best voter: the one with most of the log among those that answer and could be voters now. Nil unless this
    /// server leads, the group has fewer voters than it should, and there is one.
    package var learnerToPromote: NodeID? {
        guard leadership != nil, configuration.voters.count < options.votersTarget else { return nil }
        return raft.peers.filter { !$0.isVoter && $0.hasCaughtUp && now - min(now, $0.lastContact) < options.timing.election }
            .max { $0.matchIndex < $1.matchIndex }?.id
    }

    /// Takes a daemon into the group as a learner, unless it is a member.
    /// - Throws: `.notLeader`, `.refused` if other changes were under way all the time.
    package func addLearner(_ node: NodeID, timeout: UInt64) async throws(MetadataServerError) {
        guard !configuration.voters.contains(node), !configuration.learners.contains(node) else { return }
        try await change(until: now + timeout) { Configuration(voters: $0.voters, learners: $0.learners + [node]) }
    }

    /// Takes a daemon into the group: first as a learner, and, once it has the log, as a voter if there are fewer than should be.
    /// - Parameter timeout: nanoseconds for it to catch up.
    /// - Throws: `.notLeader`, `.refused` if it did not catch up in time (it stays a learner).
    package func addMember(_ node: NodeID, timeout: UInt64) async throws(MetadataServerError) {
        let deadline = now + timeout
        try await addLearner(node, timeout: timeout)
        while configuration.learners.contains(node), configuration.voters.count < options.votersTarget {
            guard leadership != nil else { throw MetadataServerError(.notLeader, "this server leads no more") }
            if let peer = raft.peers.first(where: { $0.id == node }), peer.hasCaughtUp, peer.matchIndex + 64 >= committedIndex {
                try await change(until: deadline) { current in
                    Configuration(voters: current.voters + [node], learners: current.learners.filter { $0 != node })
                }
                return
            }
            guard now < deadline else { throw MetadataServerError(.refused, "the new server did not catch up in time") }
            await environment.clock.sleep(nanoseconds: options.timing.tick)
        }
    }

    /// Takes a daemon out of the group. The last voter cannot go.
    package func removeMember(_ node: NodeID, timeout: UInt64) async throws(MetadataServerError) {
        guard configuration.voters != [node] else { throw MetadataServerError(.refused, "the last voter cannot leave") }
        guard configuration.voters.contains(node) || configuration.learners.contains(node) else { return }
        try await change(until: now + timeout) { current in
            Configuration(voters: current.voters.filter { $0 != node }, learners: current.learners.filter { $0 != node })
        }
    }

    /// Tries a change until it is accepted: another one, or the first entry of the term, may have to be committed first.
    private func change(until deadline: UInt64, _ body: (Configuration) -> Configuration) async throws(MetadataServerError) {
        while true {
            do throws(MetadataServerError) {
                try await changeConfiguration(body(configuration))
                return
            } catch {
                guard error.code == .refused, now < deadline else { throw error }
            }
            await environment.clock.sleep(nanoseconds: options.timing.tick)
        }
    }

    /// A picture of the present.
    package var status: MetadataStatus {
        let position: MetadataStatus.Position =
            hasFailed ? .failed : leadership == nil ? .follower : leadership?.phase == .serving ? .leader : .preparing
        let matches = Dictionary(raft.peers.map { ($0.id, $0.matchIndex) }, uniquingKeysWith: { first, _ in first })
        func member(_ node: NodeID, _ isVoter: Bool) -> MetadataStatus.Member {
            let isSelf = node == options.node
            let silence = isSelf ? 0 : peers[node]?.lastContact.map { now - min(now, $0) } ?? .max
            let match = isSelf ? storage.durableIndex : matches[node] ?? 0
            return MetadataStatus.Member(node: node, isVoter: isVoter, match: match, silence: silence)
        }
        return MetadataStatus(
            node: options.node, position: position, term: term, leader: leader, committed: committedIndex, applied: namespace.appliedIndex,
            durable: storage.durableIndex, logBytes: UInt64(storage.bytesSinceMark), logEntries: UInt64(storage.entriesSinceMark),
            sessions: UInt64(sessions.count), leases: UInt64(table.count), locks: UInt64(locks.count), lockWaits: UInt64(locks.waitingCount),
            members: configuration.voters.map { member($0, true) } + configuration.learners.map { member($0, false) })
    }

    /// A cluster record as this server's state has it: possibly old, but without any message. For daemons that follow the layout.
    package func localRecord(_ key: String) -> (value: [UInt8], version: UInt64)? {
        guard let answer = try? namespace.answer(.record(key: key)), case .record(let value, let version) = answer else { return nil }
        return (value, version)
    }

    /// Blocks in use with keys above `after`, in order, at most `limit`, as this server's state has them: possibly old. nil while the state cannot be
    /// read.
    package func localReferences(after: BlockKey?, limit: Int) -> [BlockKey]? {
        guard !isInstalling, !hasFailed else { return nil }
        do throws(StoreError) { return try Rows(store).blocksInUse(after: after, limit: limit) } catch { return nil }
    }
}
