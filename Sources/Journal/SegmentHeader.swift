import Bytes
import Model

/// The first page of a segment file.
///
/// Layout, little-endian: magic u64 · version u32 · use u32 · cluster u64 · node u64 · number u64 · salt u64 · first sequence number u64 ·
/// bytes of the file u64 · checksum u32 of the 64 bytes before · zeros. Every version keeps magic, version and the checksum's
/// place, so that a newer one is told from a damaged one.
struct SegmentHeader: Equatable {
    static let count = 4096
    static let magic: UInt64 = 0x314C_4E4A_5346_4844
    static let version: UInt32 = 1
    static let bytesMax: UInt64 = 4 << 30

    var use: UInt32
    var cluster: ClusterID
    var node: NodeID
    var number: UInt64
    var salt: UInt64
    var firstSequence: UInt64
    var capacity: UInt64

    enum Decoded: Equatable {
        case header(SegmentHeader)
        case newer(version: UInt32)
        case invalid
    }

    var encoded: Slice {
        var writer = ByteWriter(reserving: Self.count)
        writer.integer(Self.magic)
        writer.integer(Self.version)
        writer.integer(use)
        writer.integer(cluster.rawValue)
        writer.integer(node.rawValue)
        writer.integer(number)
        writer.integer(salt)
        writer.integer(firstSequence)
        writer.integer(capacity)
        writer.integer(CRC32C.checksum(writer.bytes))
        writer.raw([UInt8](repeating: 0, count: Self.count - writer.count))
        return Slice(copying: writer.bytes)
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) -> Decoded {
        guard bytes.count >= count else { return .invalid }
        var reader = ByteReader(bytes)
        do throws(DecodeError) {
            guard try reader.integer(UInt64.self) == magic else { return .invalid }
            let version = try reader.integer(UInt32.self)
            var rest = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[64..<68]))
            guard try rest.integer(UInt32.self) == CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<64])) else {
                return .invalid
            }
            guard version <= Self.version else { return .newer(version: version) }
            let header = SegmentHeader(
                use: try reader.integer(), cluster: ClusterID(rawValue: try reader.integer()),
                node: NodeID(rawValue: try reader.integer()), number: try reader.integer(), salt: try reader.integer(),
                firstSequence: try reader.integer(), capacity: try reader.integer())
            guard header.capacity <= bytesMax, header.firstSequence <= RecordHead.sequenceStartMax else { return .invalid }
            return .header(header)
        } catch {
            return .invalid
        }
    }

    /// "0000000000000001.segment"
    static func name(of number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits + ".segment"
    }

    static func number(of name: String) -> UInt64? {
        guard name.hasSuffix(".segment"), name.utf8.count == 24, let number = UInt64(name.prefix(16), radix: 16), number > 0,
            self.name(of: number) == name
        else { return nil }
        return number
    }
}
