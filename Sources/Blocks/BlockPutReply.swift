package import Bytes

/// Answer to `blockPut`: a write quorum has the block on disk.
package struct BlockPutReply: Sendable, Equatable, ByteCodable {
    /// The layout by which the replicas were chosen.
    package var layoutVersion: UInt64

    package init(layoutVersion: UInt64) { self.layoutVersion = layoutVersion }
    package init(from reader: inout ByteReader) throws(DecodeError) { layoutVersion = try reader.integer() }
    package func encode(to writer: inout ByteWriter) { writer.integer(layoutVersion) }
}
