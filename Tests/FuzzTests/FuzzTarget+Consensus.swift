import Bytes
import Consensus
@testable import Metadata
import Model

extension FuzzTarget {
    /// Messages between the servers of the metadata group, what their journal says, and what the core does with both.
    static let consensus = FuzzTarget(
        name: "consensus",
        decoders: [
            .codable(Message.self, RaftMessages.all[0], RaftMessages.all[1], RaftMessages.all[2], RaftMessages.all[3], RaftMessages.all[4]),
            .codable(Entry.self, Entry(term: 2, index: 6, payload: .data([1, 2, 3])), Entry(term: 1, index: 1, payload: .empty)),
            .codable(HardState.self, HardState(term: 3, vote: nil), HardState(term: 4, vote: NodeID(rawValue: 9))),
            .codable(SnapshotMark.self, .sample),
            .codable(Configuration.self, Configuration(voters: [NodeID(rawValue: 1)], learners: [NodeID(rawValue: 2)])),
            .sequence("messages to a server", seeds: [RaftMessages.all], mutations: 300) { (messages: [Message]) throws(Violation) in
                try RaftMessages.deliver(messages, to: RaftMessages.restored)
            },
            .sequence("journal of a server", seeds: [RaftMessages.journal], mutations: 300) { (items: [LogItem]) throws(Violation) in
                var recovery = ConsensusRecovery()
                for item in items { recovery.replay(item) }
                for index: LogIndex in [0, 1, 2, 8, 1 << 62] {
                    var copy = recovery
                    guard let restored = try? copy.finish(stateIndex: index) else { continue }
                    try RaftMessages.deliver(RaftMessages.all, to: restored)
                }
            },
        ])
}

/// Seeds, and a server that they are given to.
enum RaftMessages {
    private static func node(_ number: UInt64) -> NodeID { NodeID(rawValue: number) }

    static let entries = [
        Entry(term: 1, index: 5, payload: .empty), Entry(term: 2, index: 6, payload: .data([1, 2, 3])),
        Entry(term: 2, index: 7, payload: .configuration(Configuration(voters: [node(1), node(2)], learners: [node(3)]))),
    ]

    static let all: [Message] = [
        .requestVote(lastIndex: 9, lastTerm: 3, preVote: true, transfer: false), .vote(granted: true, preVote: false),
        .append(previousIndex: 4, previousTerm: 1, entries: entries, commit: 6, probe: .max), .appended(index: 7, probe: 12),
        .conflict(rejected: 9, index: 4, term: 1, probe: 0), .timeoutNow,
        .requestVote(lastIndex: 12, lastTerm: 5, preVote: false, transfer: true),
    ].map { Message(term: 4, kind: $0) }

    static var batch: [UInt8] {
        var writer = ByteWriter()
        writer.array(all) { $1.encode(to: &$0) }
        return writer.bytes
    }

    static let journal: [LogItem] = [
        .mark(SnapshotMark(index: 4, term: 1, configuration: Configuration(voters: [node(1), node(2), node(3)], learners: []))),
        .hardState(HardState(term: 2, vote: node(2))), .entry(entries[0]), .entry(entries[1]), .entry(entries[2]), .installing(.sample),
    ]

    static let restored = Restored(
        hardState: HardState(term: 2, vote: node(2)),
        snapshot: SnapshotMark(index: 4, term: 1, configuration: Configuration(voters: [node(1), node(2), node(3)], learners: [])),
        entries: [entries[0], entries[1]])

    /// Gives messages to a server that started from `restored`, first as it is and then as a leader, with time going on in between.
    static func deliver(_ messages: [Message], to restored: Restored) throws(Violation) {
        var raft = Raft(id: node(1), restored: restored, timing: .standard, seed: 1, now: 1)
        var now: UInt64 = 1
        var committed = restored.snapshot.index
        func take(_ effects: [Effect]) throws(Violation) {
            for effect in effects {
                switch effect {
                case .persist(_, _, let token): try take(raft.step(.persisted(token: token), now: now))
                case .commit(let entries):
                    for entry in entries {
                        try require(entry.index == committed + 1, "entry \(entry.index) is committed behind \(committed)")
                        committed = entry.index
                    }
                default: break
                }
            }
        }
        for round in 0..<2 as Range<UInt64> {
            for (place, message) in messages.enumerated() {
                try take(raft.step(.received(message, from: node(2 + UInt64(place & 1))), now: now))
                now += 400_000_000
                try take(raft.step(.tick, now: now))
            }
            // Win an election, if there is one to win.
            guard round == 0 else { break }
            for _ in 0..<8 where raft.role != .leader {
                now += 2_000_000_000
                try take(raft.step(.tick, now: now))
                for preVote in [true, false] {
                    let term = raft.term
                    for other in [node(2), node(3)] {
                        let vote = Message(term: preVote ? term + 1 : term, kind: .vote(granted: true, preVote: preVote))
                        if term < Limits.number { try take(raft.step(.received(vote, from: other), now: now)) }
                    }
                }
            }
            try take(raft.step(.propose([1], token: 1), now: now))
        }
        try require(raft.term <= Limits.number, "the term ran away: \(raft.term)")
    }
}

extension SnapshotMark {
    static var sample: SnapshotMark {
        SnapshotMark(
            index: 8, term: 2,
            configuration: Configuration(voters: [NodeID(rawValue: 1), NodeID(rawValue: 2)], learners: [NodeID(rawValue: 3)]))
    }
}
