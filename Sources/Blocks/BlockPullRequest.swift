package import Bytes
package import Digest
package import Model

/// `blockPullFrom`: get a good copy of `key` from one of `sources` and store it here. Answered, with nothing, when it is on disk; at
/// once if there is a good copy already.
package struct BlockPullRequest: Sendable, Equatable, ByteCodable {
    package static let sourcesMax = 64

    package var key: BlockKey
    /// To be tried in this order; empty for wherever the ring says it may be.
    package var sources: [NodeID]

    package init(key: BlockKey, sources: [NodeID]) {
        self.key = key
        self.sources = sources
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        key = try BlockKey(from: &reader)
        sources = try reader.array(max: Self.sourcesMax) { (reader: inout ByteReader) throws(DecodeError) in try NodeID(from: &reader) }
    }

    package func encode(to writer: inout ByteWriter) {
        key.encode(to: &writer)
        writer.array(sources) { $1.encode(to: &$0) }
    }
}
