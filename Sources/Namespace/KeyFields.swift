import Digest

/// The fields of a key, in order. Total: nil where they are not there.
struct KeyFields {
    private var rest: ArraySlice<UInt8>

    /// The fields behind the table's byte.
    init(_ key: [UInt8]) { rest = key.dropFirst() }

    mutating func unsigned64() -> UInt64? {
        guard rest.count >= 8 else { return nil }
        defer { rest = rest.dropFirst(8) }
        return rest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func unsigned32() -> UInt32? {
        guard rest.count >= 4 else { return nil }
        defer { rest = rest.dropFirst(4) }
        return rest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func time() -> Timestamp? { unsigned64().map { Int64(bitPattern: $0 ^ (1 << 63)) } }

    mutating func block() -> BlockKey? {
        guard let first = unsigned64(), let second = unsigned64(), let third = unsigned64(), let fourth = unsigned64() else { return nil }
        return BlockKey(words: (first, second, third, fourth))
    }

    var name: [UInt8] { Array(rest) }
    var isAtEnd: Bool { rest.isEmpty }
}
