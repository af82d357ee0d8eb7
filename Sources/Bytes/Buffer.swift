import Glibc

/// A page-aligned block of memory from a `BufferPool`, returned to it when the last reference goes.
///
/// Layout: `capacity` bytes, at least 4096 and one of the pool's classes; the first `count` are content. The memory is not cleared
/// when it is taken from the pool.
///
/// Sendable without checking: a buffer is filled by exactly one owner and only then shared, and whoever shares it no
/// longer writes. Nothing in the type enforces that, and a lock on each byte access is what the pool exists to avoid.
package final class Buffer: @unchecked Sendable {
    package let base: UnsafeMutableRawPointer
    package let capacity: Int
    /// How many bytes from the start are content. 0 ... capacity.
    package var count: Int
    private let pool: BufferPool

    fileprivate init(base: UnsafeMutableRawPointer, capacity: Int, pool: BufferPool) {
        self.base = base
        self.capacity = capacity
        self.count = 0
        self.pool = pool
    }

    deinit { pool.take(back: base, capacity: capacity) }

    /// The content.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    /// All of the memory, to be filled.
    package var storage: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: base, count: capacity) }
    /// The content as a slice.
    package var slice: Slice { Slice(buffer: self, offset: 0, count: count) }
}

/// Free lists of page-aligned memory by class: the powers of two from 4 KiB to 8 MiB, and from 64 KiB on an eighth more than each, for a power of two with a
/// header. Any thread.
///
/// Sendable without checking: all mutable state is behind `lock`.
package final class BufferPool: @unchecked Sendable {
    /// The pool of the process.
    package static let shared = BufferPool(retainedBytesMax: 32 << 20)

    private static let smallestShift = 12
    private static let largestShift = 23
    private static let smallestHeadedShift = 16
    private let lock = Lock()
    private var free: [[UnsafeMutableRawPointer]]
    private var retainedBytes = 0
    private let retainedBytesMax: Int

    /// - Parameter retainedBytesMax: how much free memory the pool keeps; what comes back above it goes to the allocator.
    package init(retainedBytesMax: Int) {
        self.retainedBytesMax = retainedBytesMax
        free = Array(repeating: [], count: 2 * (Self.largestShift - Self.smallestShift + 1))
    }

    /// A buffer that holds at least `capacity` bytes; `count` is 0. Requests above 8 MiB are not pooled.
    package func buffer(capacity: Int) -> Buffer {
        let (rounded, index) = Self.memoryClass(capacity)
        if index < free.count {
            let recycled: UnsafeMutableRawPointer? = lock.withLock {
                guard let base = free[index].popLast() else { return nil }
                retainedBytes -= rounded
                return base
            }
            if let recycled { return Buffer(base: recycled, capacity: rounded, pool: self) }
        }
        return Buffer(base: .allocate(byteCount: rounded, alignment: 4096), capacity: rounded, pool: self)
    }

    /// A buffer with a copy of `bytes`.
    package func buffer(copying bytes: UnsafeRawBufferPointer) -> Buffer {
        let buffer = buffer(capacity: bytes.count)
        if let source = bytes.baseAddress { memcpy(buffer.base, source, bytes.count) }
        buffer.count = bytes.count
        return buffer
    }

    /// The smallest class that holds `capacity` bytes, and the place of its free list; a place past the last one for none.
    private static func memoryClass(_ capacity: Int) -> (capacity: Int, index: Int) {
        let power = max(1 << smallestShift, capacity.nextPowerOfTwo)
        let shift = power.trailingZeroBitCount
        let half = power / 2
        if shift > smallestHeadedShift, capacity <= half + half / 8 { return (half + half / 8, 2 * (shift - 1 - smallestShift) + 1) }
        return (power, 2 * (shift - smallestShift))
    }

    fileprivate func take(back base: UnsafeMutableRawPointer, capacity: Int) {
        let (_, index) = Self.memoryClass(capacity)
        let kept = lock.withLock {
            guard index < free.count, retainedBytes + capacity <= retainedBytesMax else { return false }
            free[index].append(base)
            retainedBytes += capacity
            return true
        }
        if !kept { base.deallocate() }
    }
}

extension Int {
    /// The smallest power of two that is not less; 1 for 0 and below.
    package var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
