package import Bytes
package import Model

/// `probe`: are you alive; or, with a target, is that one alive when you ask it.
package struct ProbeRequest: Sendable, Equatable, ByteCodable {
    package var target: NodeID?

    package init(target: NodeID?) { self.target = target }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        target = try reader.optional { (reader: inout ByteReader) throws(DecodeError) in try NodeID(from: &reader) }
    }

    package func encode(to writer: inout ByteWriter) { writer.optional(target) { $1.encode(to: &$0) } }
}
