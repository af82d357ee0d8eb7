/// An ordered map of byte strings to byte strings with atomic batches and snapshots, the shape of RocksDB.
///
/// Keys order as unsigned bytes. Writes are visible at once to reads; they are durable only after `flush` returned, and a crash before
/// keeps a prefix of the batches. One thread at a time, except for a snapshot, which may be read from another thread.
package protocol OrderedStore: OrderedReader {
    /// Applies all of `batch` or, on error, none of it.
    func write(_ batch: WriteBatch) throws(StoreError)
    /// Makes every batch written so far durable.
    func flush() throws(StoreError)
    /// A view of the present that later writes do not change.
    func snapshot() -> any OrderedReader & Sendable
}

/// The reading half of an `OrderedStore`.
package protocol OrderedReader: AnyObject {
    func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]?
    /// Visits the pairs with `lower <= key < upper` in order until `visit` returns false. The pointers are valid only during the visit.
    func scan(
        from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError)
}

/// Puts and deletes that take effect together; for one key the last one counts.
package struct WriteBatch: Sendable {
    package enum Operation: Sendable {
        case put(key: [UInt8], value: [UInt8])
        case delete(key: [UInt8])
    }

    package private(set) var operations: [Operation] = []

    package init() {}

    package var isEmpty: Bool { operations.isEmpty }
    package mutating func put(_ key: [UInt8], _ value: [UInt8]) { operations.append(.put(key: key, value: value)) }
    package mutating func delete(_ key: [UInt8]) { operations.append(.delete(key: key)) }
}

/// The store could not read or write. The state on disk is to be distrusted.
package struct StoreError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case corrupt
        case noSpace
        case failed
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
