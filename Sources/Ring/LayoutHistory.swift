package import Bytes
package import Model

/// The present layout and the ones before it, in which blocks that have not moved yet can still be found.
package struct LayoutHistory: Hashable, Sendable, ByteCodable {
    /// How many earlier layouts are kept. A block placed by one that was dropped is still found, by asking every member.
    package static let earlierMax = 8

    package private(set) var current: Layout
    /// Newest first, at most `earlierMax`, versions strictly descending and below the current one.
    package private(set) var earlier: [Layout]

    package init(_ current: Layout) {
        self.current = current
        earlier = []
    }

    /// Makes `layout` the current one.
    /// - Throws: `.version` unless its version is above the current one's.
    package mutating func adopt(_ layout: Layout) throws(RingError) {
        guard layout.version > current.version else {
            throw RingError(.version, "layout \(layout.version) does not follow \(current.version)")
        }
        // A layout without members never placed a block.
        if !current.members.isEmpty { earlier.insert(current, at: 0) }
        if earlier.count > Self.earlierMax { earlier.removeLast(earlier.count - Self.earlierMax) }
        current = layout
    }

    /// Where every daemon of any of these layouts is, by the newest one that has it.
    package var addresses: [NodeID: NodeAddress] {
        var addresses: [NodeID: NodeAddress] = [:]
        for layout in earlier.reversed() + [current] {
            for member in layout.members { addresses[member.node] = member.address }
        }
        return addresses
    }

    /// Forgets the earlier layouts: every block has arrived where the current one places it.
    package mutating func settle() { earlier = [] }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        let current = try Layout(from: &reader)
        let earlier = try reader.array(max: Self.earlierMax) { (reader: inout ByteReader) throws(DecodeError) in try Layout(from: &reader) }
        var version = current.version
        for layout in earlier {
            guard layout.version < version else { throw .invalid("order of layouts") }
            version = layout.version
        }
        self.current = current
        self.earlier = earlier
    }

    package func encode(to writer: inout ByteWriter) {
        current.encode(to: &writer)
        writer.array(earlier) { $1.encode(to: &$0) }
    }
}
