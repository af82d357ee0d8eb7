package import Bytes
package import Model

/// One daemon as the ring sees it: who, where, how much of the key space, and which fate it shares.
package struct LayoutMember: Hashable, Sendable, ByteCodable {
    /// A member's weight is 1 ... `weightMax`.
    package static let weightMax = 64
    /// In bytes.
    package static let zoneMax = 64

    package var node: NodeID
    package var address: NodeAddress
    /// Share of the key space relative to the other members; 1 ... `weightMax`.
    package var weight: Int
    /// What fails together, such as a rack or a room; at most `zoneMax` bytes. Empty: the member is a zone of its own.
    package var zone: String

    package init(node: NodeID, address: NodeAddress, weight: Int, zone: String) {
        self.node = node
        self.address = address
        self.weight = weight
        self.zone = zone
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        node = try NodeID(from: &reader)
        address = try NodeAddress(from: &reader)
        weight = Int(try reader.integer(UInt16.self))
        zone = try reader.string(max: Self.zoneMax)
        guard weight >= 1, weight <= Self.weightMax else { throw .invalid("weight of a member") }
        guard node.rawValue != 0 else { throw .invalid("node of a member") }
    }

    package func encode(to writer: inout ByteWriter) {
        node.encode(to: &writer)
        address.encode(to: &writer)
        writer.integer(UInt16(clamping: weight))
        writer.string(zone)
    }
}
