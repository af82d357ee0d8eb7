package import Bytes
import Model

/// The row of an inode.
package struct InodeRecord: Equatable, Sendable, ByteCodable {
    /// First byte of the row.
    private static let layout: UInt8 = 2

    package var attributes: Attributes
    /// Bytes in the row of inline content; 0: the content, if any, is in extents.
    package var inlineLength: UInt32 = 0
    /// Rows of extents.
    package var regions: UInt32 = 0
    /// Extents in all of them.
    package var extents: UInt64 = 0
    /// Bytes of the names and values of extended attributes.
    package var xattrBytes: UInt32 = 0

    package init(_ attributes: Attributes) { self.attributes = attributes }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard try reader.integer(UInt8.self) == Self.layout else { throw .invalid("layout of an inode row") }
        attributes = try Attributes(from: &reader)
        inlineLength = try reader.integer()
        regions = try reader.smallCounter()
        extents = try reader.counter()
        xattrBytes = try reader.smallCounter()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(Self.layout)
        attributes.encode(to: &writer)
        writer.integer(inlineLength)
        writer.integer(regions)
        writer.integer(extents)
        writer.integer(xattrBytes)
    }

    /// The row's bytes, without growing an array on the way.
    var row: [UInt8] {
        var writer = ByteWriter(reserving: 160)
        encode(to: &writer)
        return writer.bytes
    }
}
