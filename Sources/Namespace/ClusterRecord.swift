package import Bytes

/// The row of a cluster record.
package struct ClusterRecord: Equatable, Sendable, ByteCodable {
    package var version: UInt64
    package var value: [UInt8]

    init(version: UInt64, value: [UInt8]) {
        self.version = version
        self.value = value
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        version = try reader.integer()
        value = try reader.bytes(max: Limits.recordBytes)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(version)
        writer.bytes(value)
    }
}
