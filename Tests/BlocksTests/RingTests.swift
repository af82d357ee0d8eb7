import Bytes
import Digest
import Model
import Ring
import Testing

@Suite struct RingTests {
    static func member(_ number: UInt64, weight: Int = 1, zone: String = "") -> LayoutMember {
        LayoutMember(
            node: NodeID(rawValue: number), address: NodeAddress(host: "host\(number)", port: 7000, machine: "m", socketPath: ""),
            weight: weight, zone: zone)
    }

    static func layout(_ numbers: [UInt64], replicas: Int = 3, version: UInt64 = 1) throws -> Layout {
        try Layout(version: version, replicas: replicas, members: numbers.map { member($0) })
    }

    /// Positions spread evenly over the ring.
    static let positions = (0..<UInt64(4096)).map { $0 << 52 | 0x5A5A5 }

    @Test(arguments: [(1, 1), (1, 3), (2, 3), (3, 3), (5, 3), (5, 1), (7, 8)])
    func everyKeyHasMinOfReplicasAndMembersDistinctNodes(members: Int, replicas: Int) throws {
        let ring = Ring(try Self.layout((1...UInt64(members)).map { $0 * 1000 }, replicas: replicas))
        for position in Self.positions {
            let nodes = ring.successors(at: position)
            #expect(nodes.count == min(members, replicas))
            #expect(Set(nodes).count == nodes.count)
        }
    }

    @Test func quorums() throws {
        for (members, replicas, quorum) in [(1, 1, 1), (1, 3, 1), (2, 3, 2), (3, 3, 2), (5, 3, 2), (5, 5, 3)] {
            #expect(try Self.layout((1...UInt64(members)).map { $0 }, replicas: replicas).writeQuorum == quorum)
        }
    }

    @Test func anEmptyLayoutPlacesNothing() {
        let ring = Ring(.empty)
        #expect(ring.successors(at: 5) == [])
        #expect(ring.shares() == [])
        #expect(ring.replicaSetCount == 0)
        #expect(Ring.plan(from: ring, to: ring) == [])
    }

    /// The tokens of one node, found from outside: where the first replica changes between one position and the next.
    @Test func theFirstNodeClockwiseWhoseTokenIsNotBelowTheKeyComesFirst() throws {
        // Token 0 of node 1, computed here with no help from Ring: the first word of the hash.
        let input = Array("dhtfs ring token".utf8) + [1, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0]
        let token = SHA256.key(of: input).words.0
        let ring = Ring(try Self.layout([1, 2, 3], replicas: 1))
        #expect(ring.successors(at: token) == [NodeID(rawValue: 1)])
        #expect(ring.tokenCount == 3 * Ring.tokensPerWeight)

        // All tokens, to check the rule and the wrap around against a plain search.
        var tokens: [(UInt64, UInt64)] = []
        for node in [UInt64(1), 2, 3] {
            for counter in 0..<UInt8(Ring.tokensPerWeight / 4) {
                let words = SHA256.key(of: Array("dhtfs ring token".utf8) + [UInt8(node), 0, 0, 0, 0, 0, 0, 0] + [counter, 0, 0, 0]).words
                for word in [words.0, words.1, words.2, words.3] { tokens.append((word, node)) }
            }
        }
        tokens.sort { $0.0 < $1.0 }
        let interesting = tokens.flatMap { [$0.0 &- 1, $0.0, $0.0 &+ 1] } + [0, .max, tokens[0].0, tokens[tokens.count - 1].0 &+ 1]
        for position in interesting + Self.positions {
            let expected = (tokens.first { $0.0 >= position } ?? tokens[0]).1
            #expect(ring.successors(at: position) == [NodeID(rawValue: expected)])
        }
        #expect(tokens[tokens.count - 1].0 < .max, "some position is past the last token, so that wrapping was tested")
    }

    @Test func replicasAreTheNextDistinctNodesClockwise() throws {
        let numbers: [UInt64] = [1, 2, 3, 4, 5]
        let three = Ring(try Self.layout(numbers, replicas: 3))
        let all = Ring(try Self.layout(numbers, replicas: 5))
        for position in Self.positions { #expect(three.successors(at: position) == Array(all.successors(at: position).prefix(3))) }
    }

    @Test func everyProcessComputesTheSame() throws {
        // Golden: a change of these values strands the blocks of every cluster there is.
        let ring = Ring(try Self.layout([0x1111, 0x2222, 0x3333, 0x4444, 0x5555], replicas: 3))
        let golden = [0x0, 0x1234_5678_9ABC_DEF0, 0x7FFF_FFFF_FFFF_FFFF, 0xC000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF as UInt64].map {
            ring.successors(at: $0).map(\.rawValue)
        }
        #expect(golden == Self.golden)
        // The order in which members are listed does not matter.
        let other = Ring(try Self.layout([0x5555, 0x3333, 0x1111, 0x4444, 0x2222], replicas: 3))
        for position in Self.positions { #expect(other.successors(at: position) == ring.successors(at: position)) }
    }

    @Test(arguments: [2, 3, 5, 10, 30])
    func sharesAreBalanced(members: Int) throws {
        // 64 tokens each deviate by 1/8 on average; four times that bounds the worst.
        let shares = Ring(try Self.layout((1...UInt64(members)).map { $0 &* 0x9E37_79B9_7F4A_7C15 }, replicas: min(3, members))).shares()
        let fair = 1 / Double(members)
        for share in shares {
            #expect(share.primary > fair * 0.5 && share.primary < fair * 1.5, "\(share)")
            #expect(share.tokens == 64)
        }
        #expect(abs(shares.reduce(0) { $0 + $1.primary } - 1) < 1e-9)
        #expect(abs(shares.reduce(0) { $0 + $1.replica } - Double(min(3, members))) < 1e-9)
    }

    @Test func sharesFollowWeights() throws {
        let members = [Self.member(1, weight: 1), Self.member(2, weight: 4), Self.member(3, weight: 4)]
        let layout = try Layout(version: 1, replicas: 1, members: members)
        let shares = Ring(layout).shares()
        #expect(shares[0].primary > 0.07 && shares[0].primary < 0.15)
        #expect(shares[1].primary > 0.38 && shares[1].primary < 0.50)
        #expect(shares[2].primary > 0.38 && shares[2].primary < 0.50)
    }

    @Test func aNewNodeTakesItsShareAndNothingElseMoves() throws {
        let old = Ring(try Self.layout([1, 2, 3, 4, 5], replicas: 3))
        let new = Ring(try Self.layout([1, 2, 3, 4, 5, 6], replicas: 3, version: 2))
        let added = NodeID(rawValue: 6)
        for position in Self.positions {
            let before = old.successors(at: position)
            let after = new.successors(at: position)
            #expect(after.filter { $0 != added } == Array(before.prefix(after.contains(added) ? 2 : 3)))
        }
        let plan = Ring.plan(from: old, to: new)
        #expect(plan.allSatisfy { $0.target == added && $0.source != added })
        let moved = plan.reduce(0) { $0 + $1.fraction }
        let share = new.shares().first { $0.node == added }?.replica ?? 0
        #expect(abs(moved - share) < 1e-9)
        #expect(Ring.plan(from: old, to: old) == [])
    }

    @Test func aLeavingNodesCopiesComeFromIt() throws {
        let old = Ring(try Self.layout([1, 2, 3, 4], replicas: 3))
        let new = Ring(try Self.layout([1, 2, 3], replicas: 3, version: 2))
        let plan = Ring.plan(from: old, to: new)
        #expect(plan.allSatisfy { $0.source == NodeID(rawValue: 4) })
        #expect(abs(plan.reduce(0) { $0 + $1.fraction } - (old.shares()[3].replica)) < 1e-9)
    }

    @Test func moreReplicasAreCopiedFromTheFirst() throws {
        let old = Ring(try Self.layout([1, 2], replicas: 1))
        let new = Ring(try Self.layout([1, 2], replicas: 2, version: 2))
        #expect(abs(Ring.plan(from: old, to: new).reduce(0) { $0 + $1.fraction } - 1) < 1e-9)
    }

    @Test func replicasLieInDistinctZonesWhileThereAreAny() throws {
        let members = (1...9).map { Self.member(UInt64($0), zone: "zone\($0 % 3)") }
        let ring = Ring(try Layout(version: 1, replicas: 3, members: members))
        let zone = Dictionary(uniqueKeysWithValues: members.map { ($0.node, $0.zone) })
        let plain = Ring(try Self.layout((1...9).map { UInt64($0) }, replicas: 1))
        for position in Self.positions {
            let nodes = ring.successors(at: position)
            #expect(Set(nodes.map { zone[$0] }).count == 3)
            #expect(nodes.first == plain.successors(at: position).first, "zones do not change the first replica")
        }
    }

    @Test func fewZonesAreFilledUpWithDistinctNodes() throws {
        let members = [Self.member(1, zone: "a"), Self.member(2, zone: "a"), Self.member(3, zone: "a"), Self.member(4, zone: "b")]
        let ring = Ring(try Layout(version: 1, replicas: 3, members: members))
        for position in Self.positions {
            let nodes = ring.successors(at: position)
            #expect(Set(nodes).count == 3)
            #expect(nodes.prefix(2).contains(NodeID(rawValue: 4)), "both zones come first")
        }
    }

    @Test func replicaSetsAreCounted() throws {
        #expect(Ring(try Self.layout([1, 2, 3], replicas: 3)).replicaSetCount == 1)
        #expect(Ring(try Self.layout([1, 2, 3, 4, 5], replicas: 3)).replicaSetCount == 10)
        #expect(Ring(try Self.layout([1, 2, 3, 4, 5], replicas: 1)).replicaSetCount == 5)
    }

    @Test func candidatesAreReplicasThenFormerThenOthers() throws {
        var layouts = LayoutHistory(try Self.layout([1, 2, 3, 4, 5, 6], replicas: 2))
        try layouts.adopt(try Self.layout([1, 2, 3, 4, 5, 7], replicas: 2, version: 2))
        let rings = RingHistory(layouts)
        #expect(rings.nodes.map(\.rawValue) == [1, 2, 3, 4, 5, 6, 7])
        for position in Self.positions.prefix(500) {
            let key = BlockKey(words: (position, 0, 0, 0))
            let candidates = rings.candidates(for: key)
            #expect(candidates.replicas == rings.current.successors(of: key))
            let before = rings.earlier[0].successors(of: key)
            #expect(candidates.former == before.filter { !candidates.replicas.contains($0) })
            #expect(Set(candidates.replicas + candidates.former + candidates.others) == Set(rings.nodes))
            #expect(candidates.replicas.count + candidates.former.count + candidates.others.count == rings.nodes.count)
        }
    }

    @Test func historyIsBoundedAndOnlyGoesForward() throws {
        var layouts = LayoutHistory(try Self.layout([1], version: 1))
        for version in 2...20 { try layouts.adopt(try Self.layout([1, UInt64(version)], version: UInt64(version))) }
        #expect(layouts.earlier.map(\.version) == [19, 18, 17, 16, 15, 14, 13, 12])
        #expect(throws: RingError.self) { try layouts.adopt(try Self.layout([1], version: 20)) }
        let decoded = try LayoutHistory(decoding: layouts.encoded)
        #expect(decoded == layouts)
        layouts.settle()
        #expect(layouts.earlier == [])
    }

    @Test func layoutsOutOfRangeAreRefused() throws {
        #expect(throws: RingError.self) { try Self.layout([1], replicas: 0) }
        #expect(throws: RingError.self) { try Self.layout([1], replicas: 9) }
        #expect(throws: RingError.self) { try Self.layout([1, 1]) }
        #expect(throws: RingError.self) { try Self.layout([0]) }
        #expect(throws: RingError.self) { try Self.layout((1...1025).map { $0 }) }
        #expect(throws: RingError.self) { try Layout(version: 1, replicas: 1, members: [Self.member(1, weight: 0)]) }
        #expect(throws: RingError.self) { try Layout(version: 1, replicas: 1, members: (1...65).map { Self.member($0, weight: 64) }) }
        #expect(throws: RingError.self) {
            try Layout(version: 1, replicas: 1, members: [Self.member(1, zone: String(repeating: "z", count: 65))])
        }
    }

    @Test func truncatedLayoutsAreRefused() throws {
        let layouts = LayoutHistory(try Self.layout([1, 2, 3]))
        let bytes = layouts.encoded
        for count in 0..<bytes.count {
            #expect(throws: DecodeError.self) { try LayoutHistory(decoding: Array(bytes.prefix(count))) }
        }
        #expect(throws: DecodeError.self) { try LayoutHistory(decoding: bytes + [0]) }
    }

    static let golden: [[UInt64]] = [
        [0x5555, 0x3333, 0x1111], [0x2222, 0x1111, 0x3333], [0x3333, 0x2222, 0x1111], [0x4444, 0x1111, 0x5555], [0x5555, 0x3333, 0x1111],
    ]
}
