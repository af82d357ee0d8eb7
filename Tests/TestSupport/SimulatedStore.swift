package import OrderedStore

/// A store on a `StoreMedium` that behaves as RocksStore: at most one at a time has the medium open, closing it in order keeps everything, a crash of the
/// medium does not, and after a write or a flush that failed nothing more can be written until it is opened again.
package final class SimulatedStore: OrderedStore {
    private let database: SimulatedDatabase

    package init(_ medium: StoreMedium) throws(StoreError) { database = try SimulatedDatabase(medium) }

    package func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? { try database.reader().get(key) }

    package func scan(
        from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        try database.reader().scan(from: lower, to: upper, visit)
    }

    package func write(_ batch: WriteBatch) throws(StoreError) { try database.write(batch) }
    package func flush() throws(StoreError) { try database.flush() }
    package func snapshot() -> any OrderedReader & Sendable { SimulatedSnapshot(database) }

    /// A medium of its own with the present rows.
    package func checkpoint() throws(StoreError) -> StoreMedium { try database.checkpoint() }
}

/// What a store and its snapshots share; closed when none of them is left.
final class SimulatedDatabase {
    private let medium: StoreMedium
    private var rows = MemoryStore()
    private var generation = -1
    private var failure: StoreError?

    init(_ medium: StoreMedium) throws(StoreError) {
        self.medium = medium
        (rows, generation) = try medium.open(self)
    }

    /// RocksDB writes its memory out when it is closed without a log, and with a log it is all in there.
    deinit {
        if medium.isCurrent(generation), failure == nil { medium.flush(rows) }
    }

    func reader() throws(StoreError) -> MemoryStore {
        try live()
        try medium.check(.read)
        return rows
    }

    func view() -> any OrderedReader & Sendable { rows.snapshot() }

    func write(_ batch: WriteBatch) throws(StoreError) {
        try change(.write)
        rows.write(batch)
        medium.append(batch, then: rows)
    }

    func flush() throws(StoreError) {
        try change(.flush)
        medium.flush(rows)
    }

    func checkpoint() throws(StoreError) -> StoreMedium {
        try change(.checkpoint)
        medium.flush(rows)
        return medium.checkpoint(rows)
    }

    private func live() throws(StoreError) {
        guard medium.isCurrent(generation) else { throw StoreError(.failed, "the process that opened the store is dead") }
    }

    private func change(_ operation: StoreMedium.Operation) throws(StoreError) {
        try live()
        if let failure { throw failure }
        do throws(StoreError) { try medium.check(operation) } catch {
            failure = error
            throw error
        }
        // The fault may have been the death of the process.
        try live()
    }
}

/// Rows as they were. Keeps the database open, as a snapshot of RocksDB does.
///
/// Sendable without checking: the rows are a value; the database is only kept.
private final class SimulatedSnapshot: OrderedReader, @unchecked Sendable {
    private let database: SimulatedDatabase
    private let rows: any OrderedReader & Sendable

    init(_ database: SimulatedDatabase) {
        self.database = database
        rows = database.view()
    }

    func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? { try rows.get(key) }

    func scan(
        from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        try rows.scan(from: lower, to: upper, visit)
    }
}
