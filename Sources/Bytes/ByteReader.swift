/// Reads little-endian values from bytes it does not own. Total: it never traps, whatever the bytes are.
///
/// The pointer must stay valid while the reader is used; make it inside `withBytes` or `withUnsafeBytes`.
@usableFromInline
package struct ByteReader {
    private var rest: UnsafeRawBufferPointer

    @usableFromInline
    package init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    @usableFromInline
    package var remaining: Int { rest.count }
    package var isAtEnd: Bool { rest.isEmpty }

    /// Takes one integer of its own width.
    @inlinable
    @inline(__always)
    package mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(DecodeError) -> Value {
        let bytes = try take(MemoryLayout<Value>.size)
        return Value(littleEndian: bytes.loadUnaligned(as: Value.self))
    }

    /// Takes `count` bytes; the result points into the source.
    @usableFromInline
    package mutating func take(_ count: Int) throws(DecodeError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= rest.count else { throw .truncated }
        defer { rest = UnsafeRawBufferPointer(rebasing: rest[count...]) }
        return UnsafeRawBufferPointer(rebasing: rest[..<count])
    }

    /// Takes a Bool; any byte but 0 and 1 is an error.
    @inlinable
    package mutating func boolean() throws(DecodeError) -> Bool {
        switch try integer(UInt8.self) {
        case 0: return false
        case 1: return true
        default: throw .invalid("boolean")
        }
    }

    /// Takes a 32-bit length and that many bytes; `max` bounds what is allocated.
    package mutating func bytes(max: Int) throws(DecodeError) -> [UInt8] {
        let count = Int(try integer(UInt32.self))
        guard count <= max else { throw .tooLong(count: count, max: max) }
        return Array(try take(count))
    }

    /// Takes a 32-bit length and that many bytes of UTF-8; `max` is in bytes.
    package mutating func string(max: Int) throws(DecodeError) -> String {
        guard let string = String(validating: try bytes(max: max), as: UTF8.self) else { throw .invalid("UTF-8") }
        return string
    }

    /// Takes a 32-bit count and that many elements; `max` bounds what is allocated.
    @inlinable
    package mutating func array<Element>(
        max: Int, _ element: (inout ByteReader) throws(DecodeError) -> Element
    ) throws(DecodeError) -> [Element] {
        let count = Int(try integer(UInt32.self))
        // Each element takes at least one byte, so a count above what is left is a lie.
        guard count <= max, count <= remaining else { throw .tooLong(count: count, max: max) }
        var result: [Element] = []
        // A count is only believed as far as the bytes go that are there: elements may be much larger in memory.
        result.reserveCapacity(min(count, 2 * remaining / MemoryLayout<Element>.stride + 1))
        for _ in 0..<count { result.append(try element(&self)) }
        return result
    }

    /// Takes a presence byte and, if it is 1, the value.
    @inlinable
    package mutating func optional<Value>(_ value: (inout ByteReader) throws(DecodeError) -> Value) throws(DecodeError) -> Value? {
        try boolean() ? try value(&self) : nil
    }

    /// - Throws: `.trailing` unless everything was read.
    @usableFromInline
    package func finish() throws(DecodeError) {
        guard isAtEnd else { throw .trailing(count: remaining) }
    }
}

/// Why bytes could not be decoded.
@usableFromInline
package enum DecodeError: Error, Equatable, Sendable {
    /// The bytes end before the value does.
    case truncated
    /// A stated length or count is over what is allowed or present.
    case tooLong(count: Int, max: Int)
    /// A value outside its range; the text names the field.
    case invalid(String)
    /// Bytes are left after the last field.
    case trailing(count: Int)
}

/// A type with one byte layout, used on the wire and on disk.
@usableFromInline
package protocol ByteCodable {
    init(from reader: inout ByteReader) throws(DecodeError)
    func encode(to writer: inout ByteWriter)
}

extension ByteCodable {
    /// Decodes a value that must take up all of `bytes`.
    @inlinable
    package init(decoding bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = ByteReader(bytes)
        self = try Self(from: &reader)
        try reader.finish()
    }

    /// Decodes a value that must take up all of `bytes`.
    @inlinable
    package init(decoding bytes: [UInt8]) throws(DecodeError) {
        let result: Result<Self, DecodeError> = bytes.withUnsafeBytes { raw in
            do throws(DecodeError) { return .success(try Self(decoding: raw)) } catch { return .failure(error) }
        }
        self = try result.get()
    }

    /// The value's bytes.
    @inlinable
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        encode(to: &writer)
        return writer.bytes
    }
}
