import Bytes
import Digest

/// The user's header of a journal record that holds a block: key, length of the content u32, flags u32 (1: zstd).
struct BlockHeader: Equatable {
    static let count = 40
    static let recordType: UInt8 = 1

    var key: BlockKey
    var length: Int
    var isCompressed: Bool

    var encoded: [UInt8] {
        var writer = ByteWriter(reserving: Self.count)
        key.encode(to: &writer)
        writer.integer(UInt32(length))
        writer.integer(UInt32(isCompressed ? 1 : 0))
        return writer.bytes
    }

    init(key: BlockKey, length: Int, isCompressed: Bool) {
        self.key = key
        self.length = length
        self.isCompressed = isCompressed
    }

    /// Nil if `bytes` are no such header.
    init?(_ bytes: Slice) {
        let decoded: BlockHeader? = bytes.withBytes { raw in
            var reader = ByteReader(raw)
            do throws(DecodeError) {
                let key = try BlockKey(from: &reader)
                let length = Int(try reader.integer(UInt32.self))
                let flags = try reader.integer(UInt32.self)
                try reader.finish()
                guard flags <= 1, length > 0 else { return nil }
                return BlockHeader(key: key, length: length, isCompressed: flags == 1)
            } catch {
                return nil
            }
        }
        guard let decoded else { return nil }
        self = decoded
    }
}

/// The user's header of a journal record that deletes blocks: a count u32 and the keys.
enum Tombstone {
    static let recordType: UInt8 = 2
    /// Most keys in one record.
    static let keysMax = 1024

    static func encode(_ keys: [BlockKey]) -> [UInt8] {
        var writer = ByteWriter(reserving: 4 + keys.count * 32)
        writer.array(keys) { $1.encode(to: &$0) }
        return writer.bytes
    }

    /// Nil if `bytes` are no such header.
    static func decode(_ bytes: Slice) -> [BlockKey]? {
        bytes.withBytes { raw in
            var reader = ByteReader(raw)
            do throws(DecodeError) {
                let keys = try reader.array(max: keysMax) { reader throws(DecodeError) in try BlockKey(from: &reader) }
                try reader.finish()
                return keys
            } catch {
                return nil
            }
        }
    }
}
