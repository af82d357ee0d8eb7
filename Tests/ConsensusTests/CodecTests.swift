import Bytes
import Model
import Testing

@testable import Consensus

@Suite struct CodecTests {
    private func node(_ id: UInt64) -> NodeID { NodeID(rawValue: id) }

    private var messages: [Message] {
        let configuration = Configuration(voters: [node(1), node(2)], learners: [node(3)])
        let entries = [
            Entry(term: 1, index: 5, payload: .empty), Entry(term: 2, index: 6, payload: .data([1, 2, 3])),
            Entry(term: 2, index: 7, payload: .configuration(configuration)),
        ]
        return [
            .requestVote(lastIndex: 9, lastTerm: 3, preVote: true, transfer: false), .vote(granted: true, preVote: false),
            .append(previousIndex: 4, previousTerm: 1, entries: entries, commit: 3, probe: .max), .appended(index: 7, probe: 12),
            .conflict(rejected: 9, index: 4, term: 1, probe: 0), .timeoutNow, .recovering(incarnation: .max, probe: 3),
            .admit(incarnation: 7, index: 5), .distrust(index: 2),
        ].map { Message(term: 4, kind: $0) }
    }

    @Test func roundTrips() throws {
        for message in messages { #expect(try Message(decoding: message.encoded) == message) }
        for state in [
            HardState(term: 3, vote: nil), HardState(term: 4, vote: node(9)), HardState(term: 4, vote: nil, standing: .recovering),
            HardState(term: 4, vote: node(1), standing: .admitted(upTo: 9)),
        ] {
            #expect(try HardState(decoding: state.encoded) == state)
        }
        for configuration in [Configuration.unknown, Configuration(voters: [node(4)], learners: [node(1)])] {
            let mark = SnapshotMark(index: 8, term: 2, configuration: configuration)
            #expect(try SnapshotMark(decoding: mark.encoded) == mark)
        }
    }

    @Test func truncatedOrLongerBytesAreRefused() {
        for message in messages {
            let bytes = message.encoded
            for count in 0..<bytes.count { #expect(throws: DecodeError.self) { try Message(decoding: Array(bytes[..<count])) } }
            #expect(throws: DecodeError.trailing(count: 1)) { try Message(decoding: bytes + [0]) }
        }
    }

    @Test func impossibleConfigurationsAreRefused() {
        let many = Configuration(voters: (1...65).map { node($0) }, learners: [])
        let twice = Configuration(voters: [node(1)], learners: [node(1)])
        let nobody = Configuration(voters: [node(0)], learners: [])
        let voteless = Configuration(voters: [], learners: [node(1)])
        for configuration in [many, twice, nobody, voteless] {
            #expect(throws: DecodeError.self) { try Configuration(decoding: configuration.encoded) }
        }
    }

    /// Whatever decodes is given to servers in every role; nothing traps.
    @Test func hostileBytesTrapNothing() {
        var random = SplitMix(seed: 1)
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        for value in 0..<20 { group.propose(1, [UInt8(value)]) }
        group.settle([1, 2, 3])
        var decoded = 0
        for _ in 0..<20_000 {
            var bytes = messages[Int(random.next(below: 9))].encoded
            for _ in 0..<(1 + random.next(below: 4)) {
                bytes[Int(random.next(below: UInt64(bytes.count)))] = [0, 1, 255, UInt8(truncatingIfNeeded: random.next())][Int(random.next(below: 4))]
            }
            guard let message = try? Message(decoding: bytes) else { continue }
            decoded += 1
            for id in [1, 2] as [UInt64] {
                guard var raft = group.servers[id] else { continue }
                _ = raft.step(.received(message, from: node(1 + random.next(below: 4))), now: group.clock)
                _ = raft.step(.tick, now: group.clock + random.next(below: 2_000_000_000))
            }
        }
        #expect(decoded > 1000)
    }

    /// Numbers that no decoder lets through are harmless in the core too.
    @Test func impossibleNumbersAreIgnored() {
        var group = Group([1, 2, 3])
        group.elect(1, [1, 2, 3])
        let numbers: [UInt64] = [0, 1, 2, 1 << 61, 1 << 62, .max]
        for term in numbers {
            for first in numbers {
                for second in numbers {
                    let kinds: [Message.Kind] = [
                        .append(
                            previousIndex: first, previousTerm: second, entries: [Entry(term: second, index: first, payload: .empty)], commit: second,
                            probe: first), .appended(index: first, probe: second),
                        .conflict(rejected: first, index: second, term: first, probe: second),
                        .requestVote(lastIndex: first, lastTerm: second, preVote: false, transfer: true),
                        .requestVote(lastIndex: first, lastTerm: second, preVote: true, transfer: false),
                        .recovering(incarnation: first, probe: second), .admit(incarnation: first, index: second), .distrust(index: second),
                    ]
                    for kind in kinds {
                        for id in [1, 2] as [UInt64] {
                            guard var raft = group.servers[id] else { continue }
                            _ = raft.step(.received(Message(term: term, kind: kind), from: node(3)), now: group.clock)
                            _ = raft.step(.tick, now: group.clock + 5_000_000_000)
                            #expect(raft.term <= Limits.number)
                        }
                    }
                }
            }
        }
    }
}
