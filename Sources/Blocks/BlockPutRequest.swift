package import Bytes
package import Digest

/// `blockPut`: store the payload under `key` on its replicas and answer when a write quorum has it on disk.
package struct BlockPutRequest: Sendable, Equatable, ByteCodable {
    package var key: BlockKey
    /// The layout by which the sender chose the coordinator. A coordinator that only knows an older one refuses.
    package var layoutVersion: UInt64

    package init(key: BlockKey, layoutVersion: UInt64) {
        self.key = key
        self.layoutVersion = layoutVersion
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        key = try BlockKey(from: &reader)
        layoutVersion = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        key.encode(to: &writer)
        writer.integer(layoutVersion)
    }
}
