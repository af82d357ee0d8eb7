package import Digest
package import Model

/// A consistent-hash ring (Karger et al. 1997) over the members of one layout, with the replica set of every arc worked out beforehand.
///
/// Each member has `tokensPerWeight` tokens per unit of weight, derived from its id alone; so every process computes the same ring,
/// and a change of one member leaves the tokens of all others where they are. An arc ends at a token, which belongs to it; the arc's
/// first replica is the token's owner: the first node clockwise whose token is not below the key's position (`successor` in Chord,
/// Stoica et al. 2001).
package struct Ring: Sendable {
    /// More tokens spread load better (the relative deviation of a share is about 1/sqrt(tokens)), fewer keep the number of distinct
    /// replica sets small.
    package static let tokensPerWeight = 64

    package let layout: Layout
    /// Ascending. Tokens of different members that fall together are ordered by node id.
    private let tokens: [UInt64]
    /// Per token, its arc's index into `sets`.
    private let setOfToken: [UInt32]
    private let sets: [[NodeID]]

    package init(_ layout: Layout) {
        self.layout = layout
        var owned: [(token: UInt64, member: Int)] = []
        owned.reserveCapacity(layout.members.reduce(0) { $0 + $1.weight } * Self.tokensPerWeight)
        for (index, member) in layout.members.enumerated() {
            for token in Self.tokens(of: member) { owned.append((token, index)) }
        }
        // Members are ordered by node id, so their index decides like the id.
        owned.sort { ($0.token, $0.member) < ($1.token, $1.member) }

        let zones = Self.zoneNumbers(layout.members)
        let owners = owned.map(\.member)
        var known: [[Int]: UInt32] = [:]
        var sets: [[NodeID]] = []
        var setOfToken: [UInt32] = []
        setOfToken.reserveCapacity(owned.count)
        var walk = Walk(memberCount: layout.members.count, zones: zones, replicas: layout.effectiveReplicas)
        for start in owners.indices {
            let chosen = walk.replicas(from: start, owners: owners)
            if let set = known[chosen] {
                setOfToken.append(set)
            } else {
                let set = UInt32(sets.count)
                known[chosen] = set
                sets.append(chosen.map { layout.members[$0].node })
                setOfToken.append(set)
            }
        }
        tokens = owned.map(\.token)
        self.setOfToken = setOfToken
        self.sets = sets
    }

    /// The nodes that hold a block, first the owner of its arc: min(R, members) distinct nodes, of distinct zones while there are
    /// any; empty only for a layout without members. O(log tokens); the array is shared, not made.
    package func successors(of key: BlockKey) -> [NodeID] { successors(at: key.position) }

    /// As `successors(of:)`, for a position on the ring.
    package func successors(at position: UInt64) -> [NodeID] {
        tokens.isEmpty ? [] : sets[Int(setOfToken[arc(at: position)])]
    }

    /// Whether `node` is one of the key's successors.
    package func isSuccessor(_ node: NodeID, of key: BlockKey) -> Bool { successors(of: key).contains(node) }

    package var tokenCount: Int { tokens.count }

    /// How many different groups of nodes hold some block, order aside. If R nodes are lost at once, the chance that some block
    /// loses all its copies grows with this number.
    package var replicaSetCount: Int { Set(sets.map { Set($0) }).count }

    /// The share of each member, ordered by node id.
    package func shares() -> [NodeShare] {
        var primary: [NodeID: Double] = [:]
        var replica: [NodeID: Double] = [:]
        for index in tokens.indices {
            let width = width(ofArc: index)
            for (place, node) in sets[Int(setOfToken[index])].enumerated() {
                if place == 0 { primary[node, default: 0] += width }
                replica[node, default: 0] += width
            }
        }
        return layout.members.map {
            NodeShare(
                node: $0.node, tokens: $0.weight * Self.tokensPerWeight, primary: primary[$0.node] ?? 0, replica: replica[$0.node] ?? 0)
        }
    }

    /// What has to be copied to get from one layout to the other: per pair of nodes, the fraction of the key space. Ordered by
    /// source and target. A copy that replaces a lost place comes from the node that gives the place up; a further copy comes from
    /// the arc's first replica.
    package static func plan(from old: Ring, to new: Ring) -> [Movement] {
        guard !old.tokens.isEmpty, !new.tokens.isEmpty else { return [] }
        var fractions: [Movement.Pair: Double] = [:]
        // Between two neighbouring tokens of either ring nothing changes, so those arcs are looked at one by one.
        let bounds = Set(old.tokens + new.tokens).sorted()
        var previous = bounds[bounds.count - 1]
        for bound in bounds {
            let width = fraction(from: previous, to: bound)
            previous = bound
            let before = old.successors(at: bound)
            let after = new.successors(at: bound)
            let gained = after.filter { !before.contains($0) }
            let lost = before.filter { !after.contains($0) }
            for (index, target) in gained.enumerated() {
                let source = index < lost.count ? lost[index] : before[0]
                fractions[Movement.Pair(source: source, target: target), default: 0] += width
            }
        }
        return fractions.map { Movement(source: $0.key.source, target: $0.key.target, fraction: $0.value) }
            .sorted { ($0.source, $0.target) < ($1.source, $1.target) }
    }

    /// The arc that a position lies on: the first token that is not below it, or the first of all.
    private func arc(at position: UInt64) -> Int {
        var low = 0
        var high = tokens.count
        while low < high {
            let middle = (low + high) / 2
            if tokens[middle] < position { low = middle + 1 } else { high = middle }
        }
        return low == tokens.count ? 0 : low
    }

    private func width(ofArc index: Int) -> Double {
        if index > 0, tokens[index - 1] == tokens[index] { return 0 }
        return Self.fraction(from: tokens[index == 0 ? tokens.count - 1 : index - 1], to: tokens[index])
    }

    /// The fraction of the key space after `lower`, up to and with `upper`; all of it if they are one.
    private static func fraction(from lower: UInt64, to upper: UInt64) -> Double {
        lower == upper ? 1 : Double(upper &- lower) / 0x1p64
    }

    /// The words of SHA-256("dhtfs ring token", node id, counter), both little-endian, counter 0, 1, 2 …: four tokens each.
    private static func tokens(of member: LayoutMember) -> [UInt64] {
        let count = member.weight * tokensPerWeight
        var result: [UInt64] = []
        result.reserveCapacity(count)
        var input = Array("dhtfs ring token".utf8)
        let prefix = input.count
        for counter in 0..<UInt32(count / 4) {
            input.removeLast(input.count - prefix)
            for shift in 0..<8 { input.append(UInt8(truncatingIfNeeded: member.node.rawValue >> (8 * UInt64(shift)))) }
            for shift in 0..<4 { input.append(UInt8(truncatingIfNeeded: counter >> (8 * UInt32(shift)))) }
            let words = SHA256.key(of: input).words
            result.append(words.0)
            result.append(words.1)
            result.append(words.2)
            result.append(words.3)
        }
        return result
    }

    /// A number per member, the same for members of one zone.
    private static func zoneNumbers(_ members: [LayoutMember]) -> [Int] {
        var numbers: [String: Int] = [:]
        var next = 0
        return members.map { member in
            if !member.zone.isEmpty, let number = numbers[member.zone] { return number }
            defer { next += 1 }
            if !member.zone.isEmpty { numbers[member.zone] = next }
            return next
        }
    }
}
