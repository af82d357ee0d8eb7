import Glibc

/// A range of bytes in a `Buffer`, which it keeps alive. Copying a slice copies no bytes.
package struct Slice: Sendable {
    package let buffer: Buffer
    /// Where the bytes start in the buffer.
    package let offset: Int
    package let count: Int

    /// - Precondition: `offset ... offset + count` lies in the buffer's capacity.
    package init(buffer: Buffer, offset: Int, count: Int) {
        precondition(offset >= 0 && count >= 0 && offset + count <= buffer.capacity)
        self.buffer = buffer
        self.offset = offset
        self.count = count
    }

    /// A slice with its own copy of `bytes`.
    package init(copying bytes: some Collection<UInt8>) {
        let buffer = BufferPool.shared.buffer(capacity: bytes.count)
        buffer.storage.copyBytes(from: bytes)
        buffer.count = bytes.count
        self = buffer.slice
    }

    package var isEmpty: Bool { count == 0 }

    /// The bytes; valid only inside the buffer's life, so use within a statement that keeps `self` alive.
    package func withBytes<Result, Failure: Error>(_ body: (UnsafeRawBufferPointer) throws(Failure) -> Result) throws(Failure) -> Result {
        defer { withExtendedLifetime(buffer) {} }
        return try body(UnsafeRawBufferPointer(start: buffer.base + offset, count: count))
    }

    /// The part that starts `offset` bytes in and is `count` long; nil where that is not inside.
    package func part(offset: Int, count: Int) -> Slice? {
        guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
        return Slice(buffer: buffer, offset: self.offset + offset, count: count)
    }

    /// A copy as an array.
    package var array: [UInt8] { withBytes { Array($0) } }
}
