package import Bytes

/// Answer to `probe`.
package struct ProbeReply: Sendable, Equatable, ByteCodable {
    /// The target, or the member itself where there was none, is alive.
    package var isAlive: Bool
    /// The layout that the answering member knows.
    package var layoutVersion: UInt64

    package init(isAlive: Bool, layoutVersion: UInt64) {
        self.isAlive = isAlive
        self.layoutVersion = layoutVersion
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        isAlive = try reader.boolean()
        layoutVersion = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.boolean(isAlive)
        writer.integer(layoutVersion)
    }
}
