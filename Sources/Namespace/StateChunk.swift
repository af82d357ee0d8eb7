import Bytes

/// Some rows of a namespace, as they travel between replicas.
struct StateChunk: ByteCodable {
    /// Longer keys and values are not the namespace's.
    private static let keyBytesMax = 512
    private static let valueBytesMax = 2 << 20

    var rows: [(key: [UInt8], value: [UInt8])] = []

    init() {}

    init(from reader: inout ByteReader) throws(DecodeError) {
        while !reader.isAtEnd { rows.append((try reader.bytes(max: Self.keyBytesMax), try reader.bytes(max: Self.valueBytesMax))) }
    }

    func encode(to writer: inout ByteWriter) {
        for row in rows {
            writer.bytes(row.key)
            writer.bytes(row.value)
        }
    }
}
