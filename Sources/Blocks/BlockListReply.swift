package import Bytes

/// Answer to `blockList`. Fewer blocks than the limit: there are no more.
package struct BlockListReply: Sendable, Equatable, ByteCodable {
    package var blocks: [StoredBlock]

    package init(blocks: [StoredBlock]) { self.blocks = blocks }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        blocks = try reader.array(max: BlockListRequest.limitMax) { (reader: inout ByteReader) throws(DecodeError) in
            try StoredBlock(from: &reader)
        }
    }

    package func encode(to writer: inout ByteWriter) { writer.array(blocks) { $1.encode(to: &$0) } }
}
