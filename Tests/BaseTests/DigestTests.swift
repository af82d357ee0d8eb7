import Bytes
import Digest
import Testing

/// FIPS 180-4 example values.
@Suite struct DigestTests {
    @Test func abc() {
        #expect(SHA256.key(of: Array("abc".utf8)).description == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func empty() {
        #expect(SHA256.key(of: []).description == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    @Test func keyBytesRoundTrip() throws {
        let key = SHA256.key(of: Array("round".utf8))
        #expect(try BlockKey(decoding: key.encoded) == key)
        #expect(BlockKey(hexadecimal: key.description) == key)
        #expect(key.encoded == key.bytes)
        #expect(key.bytes.withUnsafeBytes { BlockKey(digest: $0) } == key)
    }

    /// RFC 3720 appendix B.4.
    @Test func castagnoli() {
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    }

    @Test func readerRefusesWhatIsNotThere() {
        [UInt8](repeating: 0xFF, count: 8).withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            #expect(throws: DecodeError.self) { try reader.bytes(max: .max) }
            var short = ByteReader(UnsafeRawBufferPointer(rebasing: raw[..<3]))
            #expect(throws: DecodeError.truncated) { try short.integer(UInt32.self) }
        }
    }

    @Test func poolRecyclesMemory() {
        let pool = BufferPool(retainedBytesMax: 1 << 20)
        let first = pool.buffer(capacity: 5000).base
        let second = pool.buffer(capacity: 8192)
        #expect(second.base == first)
        #expect(second.capacity == 8192)
    }
}
