package import Bytes
package import Model

/// Who takes part in the ring, in one numbered version. Everything about placement follows from it by computation.
package struct Layout: Hashable, Sendable, ByteCodable {
    package static let replicasMax = 8
    package static let membersMax = 1024
    /// Bounds the number of tokens: `weightSumMax * Ring.tokensPerWeight`.
    package static let weightSumMax = 4096

    /// Counts up by changes; 0 is the layout before there is any.
    package let version: UInt64
    /// How many copies a block shall have: 1 ... `replicasMax`. With fewer members than that, each has one.
    package let replicas: Int
    /// Ordered by node id, which is unique.
    package let members: [LayoutMember]

    /// The layout of no members, version 0.
    package static let empty = Layout(version: 0, replicas: 1, checked: [])

    /// - Parameter members: in any order.
    package init(version: UInt64, replicas: Int, members: [LayoutMember]) throws(RingError) {
        guard replicas >= 1, replicas <= Self.replicasMax else {
            throw RingError(.replicas, "\(replicas) replicas are not 1 to \(Self.replicasMax)")
        }
        guard members.count <= Self.membersMax else {
            throw RingError(.tooLarge, "\(members.count) members are more than \(Self.membersMax)")
        }
        let sorted = members.sorted { $0.node < $1.node }
        var weightSum = 0
        for (index, member) in sorted.enumerated() {
            guard member.node.rawValue != 0 else { throw RingError(.member, "node id 0 names no node") }
            guard member.weight >= 1, member.weight <= LayoutMember.weightMax else {
                throw RingError(.member, "weight \(member.weight) of \(member.node) is not 1 to \(LayoutMember.weightMax)")
            }
            guard member.zone.utf8.count <= LayoutMember.zoneMax else {
                throw RingError(.member, "the zone of \(member.node) is longer than \(LayoutMember.zoneMax) bytes")
            }
            if index > 0, sorted[index - 1].node == member.node {
                throw RingError(.duplicate, "\(member.node) is there twice")
            }
            weightSum += member.weight
        }
        guard weightSum <= Self.weightSumMax else {
            throw RingError(.tooLarge, "the weights add up to \(weightSum), more than \(Self.weightSumMax)")
        }
        self.init(version: version, replicas: replicas, checked: sorted)
    }

    private init(version: UInt64, replicas: Int, checked members: [LayoutMember]) {
        self.version = version
        self.replicas = replicas
        self.members = members
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        let version: UInt64 = try reader.integer()
        let replicas = Int(try reader.integer(UInt8.self))
        let members = try reader.array(max: Self.membersMax) { (reader: inout ByteReader) throws(DecodeError) in
            try LayoutMember(from: &reader)
        }
        do throws(RingError) { self = try Layout(version: version, replicas: replicas, members: members) } catch {
            throw .invalid(error.cause)
        }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(version)
        writer.integer(UInt8(clamping: replicas))
        writer.array(members) { $1.encode(to: &$0) }
    }

    /// The member with this id. O(log members).
    package func member(_ node: NodeID) -> LayoutMember? {
        var low = 0
        var high = members.count
        while low < high {
            let middle = (low + high) / 2
            if members[middle].node < node { low = middle + 1 } else { high = middle }
        }
        return low < members.count && members[low].node == node ? members[low] : nil
    }

    /// How many copies a block has under this layout: min(replicas, members).
    package var effectiveReplicas: Int { min(replicas, members.count) }

    /// How many copies must be on disk before a put is acknowledged: a majority of `effectiveReplicas`.
    package var writeQuorum: Int { effectiveReplicas / 2 + 1 }
}
