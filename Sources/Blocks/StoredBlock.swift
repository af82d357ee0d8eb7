package import Bytes
package import Digest

/// One block that a store has.
package struct StoredBlock: Sendable, Hashable, ByteCodable {
    package var key: BlockKey
    /// Of the content, in bytes.
    package var length: UInt32

    package init(key: BlockKey, length: UInt32) {
        self.key = key
        self.length = length
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        key = try BlockKey(from: &reader)
        length = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        key.encode(to: &writer)
        writer.integer(length)
    }
}
