package import Bytes

/// The name of a block: SHA-256 (FIPS 180-4) of its content before compression.
///
/// Kept as four words in big-endian reading order, so that comparing words compares the digest's bytes, and `position` is
/// its first eight bytes.
package struct BlockKey: Hashable, Comparable, Sendable, ByteCodable {
    package let words: (UInt64, UInt64, UInt64, UInt64)

    package init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

    /// - Parameter digest: exactly 32 bytes; nil otherwise.
    package init?(digest: UnsafeRawBufferPointer) {
        guard digest.count == 32 else { return nil }
        func word(_ index: Int) -> UInt64 { UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }
        words = (word(0), word(1), word(2), word(3))
    }

    /// - Parameter text: 64 lower-case hexadecimal digits, as `description` prints them; nil otherwise.
    package init?(hexadecimal text: String) {
        guard text.utf8.count == 64 else { return nil }
        var parts: [UInt64] = []
        var rest = text[...]
        while !rest.isEmpty {
            guard let part = UInt64(hexadecimalDigits: rest.prefix(16)) else { return nil }
            parts.append(part)
            rest = rest.dropFirst(16)
        }
        words = (parts[0], parts[1], parts[2], parts[3])
    }

    /// Where the key lies on the ring: the first 8 bytes, most significant first.
    package var position: UInt64 { words.0 }

    /// The 32 bytes of the digest.
    package var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(32)
        for word in [words.0, words.1, words.2, words.3] {
            withUnsafeBytes(of: word.bigEndian) { result.append(contentsOf: $0) }
        }
        return result
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard let key = BlockKey(digest: try reader.take(32)) else { throw .truncated }
        self = key
    }

    package func encode(to writer: inout ByteWriter) {
        withUnsafeBytes(of: (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian)) { writer.raw($0) }
    }

    package static func == (left: BlockKey, right: BlockKey) -> Bool { left.words == right.words }
    package static func < (left: BlockKey, right: BlockKey) -> Bool { left.words < right.words }
    /// The words are a digest already, so one of them is hash enough.
    package func hash(into hasher: inout Hasher) { hasher.combine(words.1) }
}

extension BlockKey: CustomStringConvertible {
    package var description: String {
        [words.0, words.1, words.2, words.3].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
