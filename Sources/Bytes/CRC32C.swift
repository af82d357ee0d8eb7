import CPosix

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's own instruction where it has one.
package enum CRC32C {
    /// The checksum of `bytes`, continued from `previous` (0 to begin).
    package static func checksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        CPosix_crc32c(previous, bytes.baseAddress, bytes.count)
    }

    /// The checksum of `bytes`.
    package static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }
}
