package import Bytes

/// The row of a session. Outcomes of its commands from `acknowledgedBelow` on have rows of their own.
package struct SessionRecord: Equatable, Sendable, ByteCodable {
    /// First byte of the row.
    private static let layout: UInt8 = 1

    package var name: String
    /// Commands below this will not be repeated; their outcomes are gone.
    package var acknowledgedBelow: UInt64
    /// The highest sequence applied.
    package var highest: UInt64

    init(name: String) {
        self.name = name
        acknowledgedBelow = 1
        highest = 0
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard try reader.integer(UInt8.self) == Self.layout else { throw .invalid("layout of a session row") }
        name = try reader.string(max: Limits.sessionNameBytes)
        acknowledgedBelow = try reader.integer()
        highest = try reader.integer()
        // Each outcome from the one to the other is visited when the session ends.
        guard highest < .max, highest < acknowledgedBelow || highest - acknowledgedBelow < Limits.sequenceWindow else {
            throw .invalid("sequence of a session")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(Self.layout)
        writer.string(name)
        writer.integer(acknowledgedBelow)
        writer.integer(highest)
    }
}
