package import Bytes
package import Digest

/// `blockProbe` (which of these do you have), `blockDelete` (forget these), `blockCheck` (are your copies of these good).
package struct BlockKeysRequest: Sendable, Equatable, ByteCodable {
    /// The most keys in one request.
    package static let keysMax = 4096
    /// The most keys in one `blockCheck`, each of which is read from disk and hashed.
    package static let checkedKeysMax = 64

    package var keys: [BlockKey]

    package init(keys: [BlockKey]) { self.keys = keys }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        keys = try reader.array(max: Self.keysMax) { (reader: inout ByteReader) throws(DecodeError) in try BlockKey(from: &reader) }
    }

    package func encode(to writer: inout ByteWriter) { writer.array(keys) { $1.encode(to: &$0) } }
}
