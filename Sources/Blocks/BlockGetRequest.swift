package import Bytes
package import Digest

/// `blockGet`: answered with the bytes as the payload.
package struct BlockGetRequest: Sendable, Equatable, ByteCodable {
    package var key: BlockKey
    /// First byte of the range; 0 where the whole block is wanted.
    package var offset: UInt32
    /// Length of the range; 0 for the whole block. The replica checks the pages of a range against their checksums; whoever asked
    /// for the whole block checks it against the key.
    package var count: UInt32
    /// The sender got bytes from here that do not match the key: check the copy against its key before answering.
    package var recheck: Bool

    package init(key: BlockKey, offset: UInt32 = 0, count: UInt32 = 0, recheck: Bool = false) {
        self.key = key
        self.offset = offset
        self.count = count
        self.recheck = recheck
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        key = try BlockKey(from: &reader)
        offset = try reader.integer()
        count = try reader.integer()
        recheck = try reader.boolean()
        guard count > 0 || offset == 0 else { throw .invalid("range of a block") }
    }

    package func encode(to writer: inout ByteWriter) {
        key.encode(to: &writer)
        writer.integer(offset)
        writer.integer(count)
        writer.boolean(recheck)
    }
}
