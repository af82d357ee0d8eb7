import Bytes
import Model

/// The fixed part in front of every record.
///
/// Layout, little-endian: magic u32 · version u8 · type u8 · 0 u16 · salt u64 · sequence u64 · durable u64 · header length u32 ·
/// payload length u32 · body checksum u32 · offset / 8 u32 · 0 u32 · checksum u32 of the 52 bytes before. Behind it: the user's header, one
/// CRC-32C per 4 KiB of payload, the payload, zeros up to a multiple of 8. The body checksum covers header and payload checksums.
///
/// The salt is drawn at random for each segment, so that neither the old content of recycled blocks nor a stored copy of a segment can
/// be taken for its records.
struct RecordHead: Equatable {
    static let count = 56
    static let magic: UInt32 = 0x4A54_4844
    static let version: UInt8 = 1
    static let headerMax = 64 << 10
    /// Bound of what is believed when read; options are below it.
    static let payloadLimit = 64 << 20
    /// Sequence numbers that are read are below this.
    static let sequenceLimit = UInt64.max / 2
    /// Where a chain of records may begin that is believed when read: what follows it will not reach the limit.
    static let sequenceStartMax: UInt64 = 1 << 62
    /// Type of the record that ends a full segment.
    static let seal: UInt8 = 0xFF

    var type: UInt8
    var sequence: UInt64
    /// Records with a lower sequence number were durable when this one was written. It tells damage from a torn group.
    var durable: UInt64
    var headerCount: Int
    var payloadCount: Int
    var bodyChecksum: UInt32

    var tableCount: Int { JournalPayload.pages(of: payloadCount) * 4 }
    /// Where the payload begins, from the start of the record.
    var payloadOffset: Int { Self.count + headerCount + tableCount }
    /// Bytes of the whole record.
    var length: Int { Self.length(headerCount: headerCount, payloadCount: payloadCount) }

    static func length(headerCount: Int, payloadCount: Int) -> Int {
        (count + headerCount + JournalPayload.pages(of: payloadCount) * 4 + payloadCount + 7) & ~7
    }

    /// Writes the 56 bytes.
    func encode(into target: UnsafeMutableRawPointer, salt: UInt64, offset: UInt64) {
        func store<Value: FixedWidthInteger>(_ value: Value, _ place: Int) {
            target.storeBytes(of: value.littleEndian, toByteOffset: place, as: Value.self)
        }
        store(Self.magic, 0)
        store(Self.version, 4)
        store(type, 5)
        store(UInt16(0), 6)
        store(salt, 8)
        store(sequence, 16)
        store(durable, 24)
        store(UInt32(headerCount), 32)
        store(UInt32(payloadCount), 36)
        store(bodyChecksum, 40)
        store(UInt32(truncatingIfNeeded: offset / 8), 44)
        store(UInt32(0), 48)
        store(CRC32C.checksum(UnsafeRawBufferPointer(start: target, count: 52)), 52)
    }

    /// The head at the start of `bytes`, which lie at `offset` in a segment with this salt; nil if there is none.
    init?(_ bytes: UnsafeRawBufferPointer, salt: UInt64, offset: UInt64) {
        guard bytes.count >= Self.count else { return nil }
        func load<Value: FixedWidthInteger>(_ place: Int, _: Value.Type = Value.self) -> Value {
            Value(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Value.self))
        }
        guard load(0, UInt32.self) == Self.magic, load(8, UInt64.self) == salt, load(4, UInt8.self) == Self.version,
            load(44, UInt32.self) == UInt32(truncatingIfNeeded: offset / 8),
            load(52, UInt32.self) == CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<52]))
        else { return nil }
        type = load(5)
        sequence = load(16)
        durable = load(24)
        headerCount = Int(load(32, UInt32.self))
        payloadCount = Int(load(36, UInt32.self))
        bodyChecksum = load(40)
        guard headerCount <= Self.headerMax, payloadCount <= Self.payloadLimit, sequence < Self.sequenceLimit else { return nil }
    }

    init(type: UInt8, sequence: UInt64, durable: UInt64, headerCount: Int, payloadCount: Int, bodyChecksum: UInt32) {
        self.type = type
        self.sequence = sequence
        self.durable = durable
        self.headerCount = headerCount
        self.payloadCount = payloadCount
        self.bodyChecksum = bodyChecksum
    }

    /// Whether user's header and payload checksums, which are in `record` from its start, are whole.
    func bodyMatches(_ record: UnsafeRawBufferPointer) -> Bool {
        guard record.count >= payloadOffset else { return false }
        return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: record[Self.count..<payloadOffset])) == bodyChecksum
    }

    /// Whether the pages of the payload, of which `part` holds those from number `first` on, match the checksums in `record`.
    func pagesMatch(_ record: UnsafeRawBufferPointer, part: UnsafeRawBufferPointer, first: Int) -> Bool {
        guard record.count >= payloadOffset else { return false }
        #if CANARIES
            if Canary.ignoresMismatch.isActive { return true }
        #endif
        var page = first
        var start = 0
        while start < part.count {
            let end = min(start + JournalPayload.pageBytes, part.count)
            let place = Self.count + headerCount + page * 4
            guard place + 4 <= payloadOffset else { return false }
            let expected = UInt32(littleEndian: record.loadUnaligned(fromByteOffset: place, as: UInt32.self))
            guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: part[start..<end])) == expected else { return false }
            page += 1
            start = end
        }
        return true
    }
}
