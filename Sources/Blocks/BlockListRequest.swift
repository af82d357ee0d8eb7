package import Bytes
package import Digest

/// `blockList`: the blocks you have, in order of their keys.
package struct BlockListRequest: Sendable, Equatable, ByteCodable {
    /// The most blocks in one answer.
    package static let limitMax = 4096

    /// Only keys above this; nil from the first.
    package var after: BlockKey?
    /// 1 ... `limitMax`.
    package var limit: Int

    package init(after: BlockKey?, limit: Int = BlockListRequest.limitMax) {
        self.after = after
        self.limit = limit
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        after = try reader.optional { (reader: inout ByteReader) throws(DecodeError) in try BlockKey(from: &reader) }
        limit = Int(try reader.integer(UInt16.self))
        guard limit >= 1, limit <= Self.limitMax else { throw .invalid("limit of a list") }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.optional(after) { $1.encode(to: &$0) }
        writer.integer(UInt16(clamping: limit))
    }
}
