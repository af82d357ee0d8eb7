import Bytes
package import OrderedStore

/// Replaces everything in a store by the chunks of another replica's state.
///
/// The row that says what the state contains is written last: a store whose loading was cut off has none, and `Namespace` refuses it.
package struct StateLoader: ~Copyable {
    private static let rowsPerBatch = 4096

    private let store: any OrderedStore
    private var state: [UInt8]?

    /// Empties the store.
    package init(into store: any OrderedStore) throws(StoreError) {
        self.store = store
        var batch = WriteBatch()
        batch.delete(RowKey.state)
        try store.write(batch)
        let rows = Rows(store)
        while true {
            let pairs = try rows.pairs(from: [], to: nil, limit: Self.rowsPerBatch)
            guard !pairs.isEmpty else { break }
            var batch = WriteBatch()
            for pair in pairs { batch.delete(pair.key) }
            try store.write(batch)
        }
    }

    /// Adds the rows of one chunk. - Throws: `.corrupt` where the bytes are no chunk.
    package mutating func add(_ chunk: [UInt8]) throws(StoreError) {
        let rows: [(key: [UInt8], value: [UInt8])]
        do throws(DecodeError) {
            rows = try StateChunk(decoding: chunk).rows
        } catch { throw StoreError(.corrupt, "a chunk of state: \(error)") }
        var batch = WriteBatch()
        for row in rows {
            if row.key == RowKey.state { state = row.value } else { batch.put(row.key, row.value) }
        }
        try store.write(batch)
    }

    /// Ends the loading; the state is durable and may be opened by `Namespace`. - Throws: `.corrupt` where the row of the state did not
    /// come.
    package consuming func finish() throws(StoreError) {
        guard let state else { throw StoreError(.corrupt, "the chunks of state ended early") }
        let _: StateRecord = try Rows.decode(state, key: RowKey.state)
        var batch = WriteBatch()
        batch.put(RowKey.state, state)
        try store.write(batch)
        try store.flush()
    }
}
