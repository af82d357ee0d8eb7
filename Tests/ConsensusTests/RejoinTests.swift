import Model
import Testing

@testable import Consensus

/// Servers that lost their log, or part of it, and come back.
@Suite struct RejoinTests {
    private func node(_ id: UInt64) -> NodeID { NodeID(rawValue: id) }

    private func configuration(_ voters: [UInt64], _ learners: [UInt64] = []) -> Configuration {
        Configuration(voters: voters.map(node), learners: learners.map(node))
    }

    private func wipe(_ id: UInt64, _ group: inout Group) {
        group.disks[id] = SimulatedDisk(snapshot: SnapshotMark(index: 0, term: 0, configuration: .unknown))
        group.unsynced[id] = []
        group.start(id)
    }

    /// Heartbeats until nothing changes any more.
    private func rest(_ group: inout Group, _ leader: UInt64, _ reachable: [UInt64]) {
        for _ in 0..<6 { group.heartbeat(leader, reachable) }
    }

    /// 1 led, without 2, until 2 and 3 elected 3 and committed an entry; then the disk of 2 is wiped, and 1, which knows nothing of it, offers 2 its log.
    private func committedTwice(prepare: @escaping (inout Raft) -> Void = { _ in }) -> Bool {
        var group = Group([1, 2, 3], prepare: prepare)
        group.elect(1, [1, 3])
        group.elect(3, [2, 3])
        group.propose(3, [33])
        group.settle([2, 3])
        group.heartbeat(3, [2, 3])
        let committed = group.commit(3)
        wipe(2, &group)
        group.propose(1, [11], token: 2)
        group.propose(1, [12], token: 3)
        group.step(1, .read(token: 4))
        group.settle([1, 2])
        return group.commit(1) >= committed && group.termOf(committed, 1) != group.termOf(committed, 3)
    }

    @Test func aWipedVoterDoesNotHelpADeposedLeader() {
        #expect(!committedTwice())
        #expect(committedTwice { $0.standing = .trusted }, "the scenario is not the one that loses data")
    }

    @Test func aWipedVoterIsAdmittedAnewAndVotesAgain() {
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        group.propose(1, [1])
        group.heartbeat(1, [1, 2, 3])
        wipe(2, &group)
        #expect(group.servers[2]?.standing == .recovering)
        rest(&group, 1, [1, 2, 3])
        #expect(group.effects[1]?.contains(.lostLog(node(2))) == true)
        #expect(group.servers[1]?.configuration == configuration([1, 3], [2]))
        #expect(group.servers[2]?.standing == .trusted && group.commit(2) == group.commit(1) && group.last(2) == group.last(1))
        group.step(1, .changeConfiguration(configuration([1, 2, 3]), token: 9))
        rest(&group, 1, [1, 2, 3])
        #expect(group.servers[2]?.isVoter == true)
        group.elect(2, [2, 3])
        #expect(group.role(2) == .leader)
    }

    @Test func aWipedVoterNeitherVotesNorDisturbs() {
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        group.heartbeat(1, [1, 2, 3])
        wipe(2, &group)
        let before = group.term(1)
        for kind in [
            Message.Kind.requestVote(lastIndex: 9, lastTerm: 9, preVote: false, transfer: true), .requestVote(lastIndex: 9, lastTerm: 9, preVote: true, transfer: false),
            .timeoutNow,
        ] {
            #expect(group.step(2, .received(Message(term: 9, kind: kind), from: node(3))).isEmpty)
        }
        for _ in 0..<5 {
            group.now += 2000
            #expect(group.step(2, .tick).isEmpty)
        }
        // With its answers alone the leader has no majority.
        group.step(1, .tick)
        #expect(group.role(1) == .follower && group.term(1) == before)
        // Two of three are enough to go on.
        group.elect(3, [1, 2, 3])
        rest(&group, 3, [1, 2, 3])
        #expect(group.role(3) == .leader && group.servers[2]?.standing == .trusted)
    }

    @Test func aCrashAtAnyPointOfTheAdmissionIsSafe() {
        // In how many messages and writes it happens is not known before: each run ends one later.
        for end in 0..<60 {
            for surviving in [0, 1, 9] {
                var group = Group([1, 2, 3])
                group.elect(1, [1, 2, 3])
                for value: UInt8 in 0..<5 { group.propose(1, [value]) }
                group.heartbeat(1, [1, 2, 3])
                wipe(2, &group)
                group.syncs = false
                var left = end
                for _ in 0..<12 where left > 0 {
                    group.now += 110
                    group.step(1, .tick)
                    while left > 0 {
                        left -= 1
                        if let parcel = group.mail.first {
                            group.mail.removeFirst()
                            group.step(parcel.to, .received(parcel.message, from: node(parcel.from)))
                        } else {
                            let waiting = [1, 2, 3].filter { group.unsynced[$0]?.isEmpty == false }
                            guard let next = waiting.first else { break }
                            group.sync(next)
                        }
                    }
                }
                group.disks[2]?.crash(surviving: surviving)
                group.unsynced[2] = []
                group.start(2)
                let standing = group.servers[2]?.standing
                if standing == .trusted { #expect((group.servers[2]?.lastIndex ?? 0) >= 7, "end \(end)") }
                group.syncs = true
                for id in [1, 3] as [UInt64] { group.sync(id) }
                rest(&group, 1, [1, 2, 3])
                #expect(group.servers[2]?.standing == .trusted && group.last(2) == group.last(1), "end \(end), \(surviving) writes, was \(String(describing: standing))")
            }
        }
    }

    /// 4 was a learner when 1 led, became a voter under 2, helped 2 to commit, and lost its disk; then 1, which knows nothing of that, hears of it.
    private func admittedByADeposedLeader(prepare: @escaping (inout Raft) -> Void = { _ in }) -> Group {
        var group = Group([1, 2, 3], learners: [4], prepare: prepare)
        group.elect(1, [1, 2, 3, 4])
        group.heartbeat(1, [1, 2, 3, 4])
        group.elect(2, [2, 3, 4])
        rest(&group, 2, [2, 3, 4])
        group.step(2, .changeConfiguration(configuration([1, 2, 3, 4]), token: 1))
        rest(&group, 2, [2, 3, 4])
        #expect(group.servers[4]?.isVoter == true)
        wipe(4, &group)
        // It wakes from a freeze and asks for proof that it leads.
        group.step(1, .read(token: 5))
        group.settle([1, 4])
        return group
    }

    @Test func aDeposedLeaderAdmitsNobody() {
        #expect(admittedByADeposedLeader().servers[4]?.standing == .recovering)
        #if DEBUG
            #expect(admittedByADeposedLeader { $0.mutations = [.admitsWithoutProof] }.servers[4]?.standing != .recovering, "the scenario is another one")
        #endif
    }

    @Test func answersOfTheLostServerAreNotCounted() {
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        group.heartbeat(1, [1, 2, 3])
        group.propose(1, [1])
        group.settle([1, 2])
        let late = group.sent(2).last
        wipe(2, &group)
        rest(&group, 1, [1, 2, 3])
        group.step(1, .changeConfiguration(configuration([1, 2, 3]), token: 9))
        rest(&group, 1, [1, 2, 3])
        #expect(group.servers[1]?.configuration == configuration([1, 2, 3]))
        wipe(2, &group)
        group.propose(1, [2], token: 2)
        group.heartbeat(1, [1, 2])
        let before = group.servers[1]?.peers.first?.matchIndex
        if let late { group.step(1, .received(late, from: node(2))) }
        #expect(before == 0 && group.servers[1]?.peers.first?.matchIndex == 0)
    }

    @Test func anOlderCopyOfALogIsNoticed() throws {
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        group.propose(1, [1])
        group.heartbeat(1, [1, 2, 3])
        let old = group.disks[2]
        group.propose(1, [2], token: 2)
        group.propose(1, [3], token: 3)
        group.heartbeat(1, [1, 2, 3])
        let last = group.last(2)
        group.disks[2] = old
        group.unsynced[2] = []
        group.start(2)
        #expect(group.servers[2]?.standing == .trusted && group.last(2) < last)
        rest(&group, 1, [1, 2, 3])
        #expect(group.effects[1]?.contains(.lostLog(node(2))) == true && group.effects[2]?.contains(.standing(.recovering)) == true)
        rest(&group, 1, [1, 2, 3])
        #expect(group.servers[1]?.configuration == configuration([1, 3], [2]))
        #expect(group.servers[2]?.standing == .trusted && group.last(2) == group.last(1))
        // That it was admitted is on its disk.
        group.restart(2)
        #expect(group.servers[2]?.standing == .trusted)
    }

    @Test func aHealthyFollowersLateAnswersRaiseNoSuspicion() {
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        for value: UInt8 in 0..<9 { group.propose(1, [value]) }
        let late = group.mail
        group.heartbeat(1, [1, 2, 3])
        group.restart(2)
        for parcel in late + late where parcel.to == 2 { group.step(2, .received(parcel.message, from: node(1))) }
        rest(&group, 1, [1, 2, 3])
        #expect(group.effects[1]?.contains { if case .lostLog = $0 { true } else { false } } == false)
    }

    @Test func withoutAMajorityOfTheOthersNothingHappens() {
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        group.heartbeat(1, [1, 2, 3])
        wipe(2, &group)
        for _ in 0..<3 { group.heartbeat(1, [1, 2]) }
        #expect(group.servers[2]?.standing == .recovering && group.last(2) == 0)
        // The only voter, wiped, is nobody's leader.
        var alone = Group([1])
        alone.elect(1, [1])
        wipe(1, &alone)
        alone.elect(1, [1])
        #expect(alone.role(1) == .follower && alone.servers[1]?.standing == .recovering)
    }

    @Test func ofTwoVotersTheLeaderAdmitsTheOther() {
        var group = Group([1, 2])
        group.elect(1, [1, 2])
        group.heartbeat(1, [1, 2])
        wipe(2, &group)
        rest(&group, 1, [1, 2])
        #expect(group.servers[1]?.configuration == configuration([1], [2]) && group.servers[2]?.standing == .trusted)
    }

    @Test func onlyALearnerThatHasCaughtUpBecomesAVoter() {
        var group = Group([1, 2, 3], learners: [4])
        group.elect(1, [1, 2, 3])
        group.heartbeat(1, [1, 2, 3])
        let all = configuration([1, 2, 3, 4])
        #expect(group.step(1, .changeConfiguration(all, token: 1)) == [.refused(token: 1, leader: node(1))])
        group.heartbeat(1, [1, 2, 3, 4])
        group.heartbeat(1, [1, 2, 3, 4])
        #expect(group.step(1, .changeConfiguration(all, token: 2)).contains(.configuration(all)))
    }
}
