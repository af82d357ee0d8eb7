package import Bytes

/// The bytes of a record with their checksums, one CRC-32C per 4 KiB, so that a part can be checked on its own. Making it reads all bytes:
/// for large payloads do so on a worker. The bytes must not change until the append has returned.
package struct JournalPayload: Sendable {
    /// Bytes under one checksum.
    package static let pageBytes = 4096

    package let bytes: Slice
    package let checksums: [UInt32]

    package init(_ bytes: Slice) {
        self.bytes = bytes
        checksums = bytes.withBytes { Self.checksums(of: $0) }
    }

    /// How many checksums a payload of `count` bytes has.
    package static func pages(of count: Int) -> Int { count / pageBytes + (count % pageBytes == 0 ? 0 : 1) }

    /// The checksum of every page, in order.
    package static func checksums(of bytes: UnsafeRawBufferPointer) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(pages(of: bytes.count))
        var start = 0
        while start < bytes.count {
            let end = min(start + pageBytes, bytes.count)
            result.append(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[start..<end])))
            start = end
        }
        return result
    }
}
