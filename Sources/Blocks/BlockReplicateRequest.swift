package import Bytes
package import Digest

/// `blockReplicate`: store the payload under `key` here. Answered, with nothing, when it is on disk.
package struct BlockReplicateRequest: Sendable, Equatable, ByteCodable {
    package var key: BlockKey

    package init(key: BlockKey) { self.key = key }
    package init(from reader: inout ByteReader) throws(DecodeError) { key = try BlockKey(from: &reader) }
    package func encode(to writer: inout ByteWriter) { key.encode(to: &writer) }
}
