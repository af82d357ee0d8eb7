package import Bytes
package import Digest

/// One block that a store has.
package struct StoredBlock: Sendable, Hashable, ByteCodable {
    package var key: BlockKey
    /// Of the content, in bytes.
    package var length: UInt32
    /// The copy is known to be bad and is not served.
    package var isBad: Bool

    package init(key: BlockKey, length: UInt32, isBad: Bool) {
        self.key = key
        self.length = length
        self.isBad = isBad
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        key = try BlockKey(from: &reader)
        length = try reader.integer()
        isBad = try reader.boolean()
    }

    package func encode(to writer: inout ByteWriter) {
        key.encode(to: &writer)
        writer.integer(length)
        writer.boolean(isBad)
    }
}
