package import Bytes
import Digest

/// The extents of one region of a file, packed: offsets count from the region's start. Sorted, not overlapping, inside the region.
package struct ExtentRow: Equatable, Sendable {
    /// First byte of the row.
    private static let layout: UInt8 = 1
    private static let extentBytes = 48

    package var extents: [Extent]

    init(_ extents: [Extent]) { self.extents = extents }

    /// Reads the row of `region`.
    /// - Throws: where extents are out of order, overlap, cross the region's border or reach out of their block.
    package init(decoding bytes: [UInt8], region: UInt32) throws(DecodeError) {
        let packed = try Packed(decoding: bytes)
        let start = UInt64(region) * Limits.regionBytes
        extents = packed.extents
        for place in extents.indices { extents[place].offset += start }
    }

    /// The row's bytes. - Precondition: the extents lie in `region`.
    func encoded(region: UInt32) -> [UInt8] {
        let start = UInt64(region) * Limits.regionBytes
        var packed = Packed(extents: extents)
        for place in packed.extents.indices { packed.extents[place].offset -= start }
        var writer = ByteWriter(reserving: 5 + extents.count * Self.extentBytes)
        packed.encode(to: &writer)
        return writer.bytes
    }

    /// Extents with offsets that count from the region's start.
    private struct Packed: ByteCodable {
        var extents: [Extent]

        init(extents: [Extent]) { self.extents = extents }

        init(from reader: inout ByteReader) throws(DecodeError) {
            guard try reader.integer(UInt8.self) == ExtentRow.layout else { throw .invalid("layout of an extent row") }
            var end: UInt64 = 0
            extents = try reader.array(max: Limits.extentsPerRegion) { (reader: inout ByteReader) throws(DecodeError) in
                let extent = Extent(
                    offset: UInt64(try reader.integer(UInt32.self)), length: try reader.integer(), key: try BlockKey(from: &reader),
                    blockLength: try reader.integer(), blockOffset: try reader.integer())
                guard extent.offset >= end, extent.end <= Limits.regionBytes, extent.isSound else { throw .invalid("extent row") }
                end = extent.end
                return extent
            }
        }

        func encode(to writer: inout ByteWriter) {
            writer.integer(ExtentRow.layout)
            writer.array(extents) { writer, extent in
                writer.integer(UInt32(extent.offset))
                writer.integer(extent.length)
                extent.key.encode(to: &writer)
                writer.integer(extent.blockLength)
                writer.integer(extent.blockOffset)
            }
        }
    }
}

extension Extent {
    /// Whether the run is not empty and lies in its block, and the block is no larger than blocks get. Says nothing of the place in the
    /// file.
    package var isSound: Bool {
        length > 0 && blockLength <= Limits.blockBytes && UInt64(blockOffset) + UInt64(length) <= UInt64(blockLength)
    }

    /// The region that the run begins in.
    var region: UInt64 { offset / Limits.regionBytes }

    /// What the run counts for in `Attributes.allocated`.
    var allocated: UInt64 { allocation(of: UInt64(length)) }

    /// The part of the run inside `lower ..< upper`; nil where that is empty.
    func clipped(from lower: UInt64, to upper: UInt64) -> Extent? {
        let start = max(offset, lower)
        let end = min(end, upper)
        guard start < end else { return nil }
        return Extent(
            offset: start, length: UInt32(end - start), key: key, blockLength: blockLength,
            blockOffset: blockOffset + UInt32(start - offset))
    }
}

/// Bytes rounded up to the sectors of 512 bytes that stat(2) counts in.
func allocation(of bytes: UInt64) -> UInt64 { (bytes + 511) / 512 * 512 }
