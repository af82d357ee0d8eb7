package import Bytes

/// Answer to `blockProbe`.
package struct BlockProbeReply: Sendable, Equatable, ByteCodable {
    /// Per key asked for, in order, the block's length; 0 where there is none.
    package var lengths: [UInt32]

    package init(lengths: [UInt32]) { self.lengths = lengths }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        lengths = try reader.array(max: BlockKeysRequest.keysMax) { (reader: inout ByteReader) throws(DecodeError) in try reader.integer() }
    }

    package func encode(to writer: inout ByteWriter) { writer.array(lengths) { $0.integer($1) } }
}
