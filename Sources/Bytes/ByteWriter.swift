/// Appends little-endian values to an array; the twin of `ByteReader`.
@usableFromInline
package struct ByteWriter: Sendable {
    @usableFromInline
    package private(set) var bytes: [UInt8] = []

    @usableFromInline
    package init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    package var count: Int { bytes.count }

    @inlinable
    @inline(__always)
    package mutating func integer<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { raw($0) }
    }

    @usableFromInline
    package mutating func boolean(_ value: Bool) { bytes.append(value ? 1 : 0) }

    /// Appends bytes without a length.
    @usableFromInline
    package mutating func raw(_ source: UnsafeRawBufferPointer) { bytes.append(contentsOf: source) }

    /// Appends bytes without a length.
    package mutating func raw(_ source: [UInt8]) { bytes.append(contentsOf: source) }

    /// Appends a 32-bit length and the bytes.
    package mutating func bytes(_ source: [UInt8]) {
        integer(UInt32(source.count))
        bytes.append(contentsOf: source)
    }

    /// Appends a 32-bit length and the UTF-8 bytes.
    package mutating func string(_ source: String) { bytes(Array(source.utf8)) }

    /// Appends a 32-bit count and the elements.
    @inlinable
    package mutating func array<Element>(_ elements: [Element], _ element: (inout ByteWriter, Element) -> Void) {
        integer(UInt32(elements.count))
        for value in elements { element(&self, value) }
    }

    /// Appends a presence byte and the value if there is one.
    @inlinable
    package mutating func optional<Value>(_ value: Value?, _ encode: (inout ByteWriter, Value) -> Void) {
        boolean(value != nil)
        if let value { encode(&self, value) }
    }

    /// Overwrites a 32-bit value written earlier, such as a length that was not known yet.
    package mutating func patch(_ value: UInt32, at offset: Int) {
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
    }
}
