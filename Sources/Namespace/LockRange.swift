package import Bytes

/// Bytes of a file from `first` to `last`, both included, as a lock covers them. A lock may reach past the end of the file.
package struct LockRange: Hashable, Sendable, ByteCodable {
    /// The last byte that a lock can cover: OFFSET_MAX of fcntl(2), which also stands for "to the end, however far that is".
    package static let end = UInt64(Int64.max)
    package static let all = LockRange(unchecked: 0, end)

    package let first: UInt64
    package let last: UInt64

    private init(unchecked first: UInt64, _ last: UInt64) {
        self.first = first
        self.last = last
    }

    /// nil unless `first` ≤ `last` ≤ `end`.
    package init?(_ first: UInt64, _ last: UInt64) {
        guard first <= last, last <= Self.end else { return nil }
        self.init(unchecked: first, last)
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        let first: UInt64 = try reader.integer()
        let last: UInt64 = try reader.integer()
        guard let range = LockRange(first, last) else { throw .invalid("range of a lock") }
        self = range
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(first)
        writer.integer(last)
    }

    package func overlaps(_ other: LockRange) -> Bool { first <= other.last && other.first <= last }

    package func contains(_ other: LockRange) -> Bool { first <= other.first && other.last <= last }

    /// The common part; nil where there is none.
    package func intersection(_ other: LockRange) -> LockRange? { LockRange(max(first, other.first), min(last, other.last)) }

    /// What lies before `other`, and what lies behind it.
    func before(_ other: LockRange) -> LockRange? { other.first > first ? LockRange(first, min(last, other.first - 1)) : nil }

    func after(_ other: LockRange) -> LockRange? { other.last < last ? LockRange(max(first, other.last + 1), last) : nil }

    /// This range and one that begins right behind it.
    func joined(_ next: LockRange) -> LockRange { LockRange(unchecked: first, next.last) }
}
