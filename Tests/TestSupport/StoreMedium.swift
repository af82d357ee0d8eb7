package import OrderedStore

/// What is on the disk of one ordered store, as RocksDB would have it in its directory: the rows of the last flush, and the batches since, of which a crash
/// leaves a prefix.
package final class StoreMedium {
    package enum Operation: Sendable {
        case open, read, write, flush, checkpoint
    }

    /// When a batch is safe; the cases are those of RocksStore.
    package enum Durability: Sendable {
        /// There is no log: what was written since the last flush is in the memory of the process.
        case flushed
        /// There is a log, not synced at each write: only power loss can lose what was written since the last flush.
        case logged
    }

    package enum Crash: Sendable {
        case process
        case power
    }

    /// As RocksDB's write buffer: with so many bytes in it, it is written out without being asked.
    private static let writeBufferBytes = 16 << 20

    package let durability: Durability
    /// Asked before each operation: a code makes it fail.
    package var fault: ((_ operation: Operation) -> StoreError.Code?)?
    /// Fails the operation with this number (see `operations`), once.
    package var failingOperation: (number: Int, code: StoreError.Code)?
    /// Openings, writes, flushes and checkpoints so far.
    package private(set) var operations = 0
    private var durable: MemoryStore
    private var batches: [WriteBatch] = []
    private var batchBytes = 0
    /// Counts crashes; a database that was opened before is dead.
    private var generation = 0
    private weak var opened: SimulatedDatabase?

    package init(_ durability: Durability = .flushed) {
        self.durability = durability
        durable = MemoryStore()
    }

    private init(_ durability: Durability, rows: MemoryStore) {
        self.durability = durability
        durable = rows
    }

    /// Whether a store or a snapshot has it open.
    package var isOpen: Bool { opened != nil }

    /// Batches that a crash may take away.
    package var unflushedBatches: Int { batches.count }

    /// Ends the process that has it open, or the power of its machine.
    /// - Parameter random: lets some of the batches since the last flush survive, the first ones; without it none does that may be lost.
    package func crash(_ crash: Crash, random: SeededChoice? = nil) {
        generation += 1
        opened = nil
        let kept = durability == .logged && crash == .process ? batches.count : random?(batches.count + 1) ?? 0
        for batch in batches.prefix(kept) { durable.write(batch) }
        batches.removeAll()
        batchBytes = 0
    }

    /// Draws below a bound.
    package typealias SeededChoice = (_ bound: Int) -> Int

    /// What a crash now would leave at the least, on a medium of its own.
    package func durableCopy() -> StoreMedium { StoreMedium(durability, rows: durable.copy()) }

    /// The rows as they are now, on a medium of its own.
    func checkpoint(_ rows: MemoryStore) -> StoreMedium { StoreMedium(durability, rows: rows.copy()) }

    func open(_ database: SimulatedDatabase) throws(StoreError) -> (rows: MemoryStore, generation: Int) {
        try check(.open)
        guard opened == nil else { throw StoreError(.failed, "the store is open already") }
        opened = database
        return (durable.copy(), generation)
    }

    func isCurrent(_ generation: Int) -> Bool { generation == self.generation }

    /// Throws what `fault` or `failingOperation` wants.
    func check(_ operation: Operation) throws(StoreError) {
        var code = fault?(operation)
        if operation != .read {
            operations += 1
            if let failing = failingOperation, failing.number == operations {
                failingOperation = nil
                code = failing.code
            }
        }
        if let code { throw StoreError(code, "\(operation): injected fault") }
    }

    func append(_ batch: WriteBatch, then rows: MemoryStore) {
        batches.append(batch)
        for operation in batch.operations {
            switch operation {
            case .put(let key, let value): batchBytes += key.count + value.count
            case .delete(let key): batchBytes += key.count
            }
        }
        if batchBytes >= Self.writeBufferBytes { flush(rows) }
    }

    func flush(_ rows: MemoryStore) {
        durable = rows.copy()
        batches.removeAll(keepingCapacity: true)
        batchBytes = 0
    }
}
