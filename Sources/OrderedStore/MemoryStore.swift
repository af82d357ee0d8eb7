/// An `OrderedStore` in memory: for tests, for simulation, and for checking rows that came over the network.
///
/// Rows lie in sorted chunks, so that a snapshot and the state of the last flush cost nothing until a chunk is changed.
package final class MemoryStore: OrderedStore {
    private var rows = SortedRows()
    private var durable = SortedRows()

    package init() {}

    /// A store with the same rows. They are shared until one of the two changes them.
    package func copy() -> MemoryStore {
        let copy = MemoryStore()
        copy.rows = rows
        copy.durable = rows
        return copy
    }

    /// How many rows there are.
    package var count: Int { rows.count }

    package func get(_ key: [UInt8]) -> [UInt8]? { rows.get(key) }

    package func scan(from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool) {
        rows.scan(from: lower, to: upper, visit)
    }

    package func write(_ batch: WriteBatch) {
        for operation in batch.operations {
            switch operation {
            case .put(let key, let value): rows.put(key, value)
            case .delete(let key): rows.delete(key)
            }
        }
    }

    package func flush() { durable = rows }

    package func snapshot() -> any OrderedReader & Sendable { MemorySnapshot(rows) }

    /// What a crash leaves: the state of the last flush.
    package func crash() { rows = durable }
}

/// A `MemoryStore` as it was.
private final class MemorySnapshot: OrderedReader, Sendable {
    private let rows: SortedRows

    init(_ rows: SortedRows) { self.rows = rows }

    func get(_ key: [UInt8]) -> [UInt8]? { rows.get(key) }

    func scan(from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool) {
        rows.scan(from: lower, to: upper, visit)
    }
}
