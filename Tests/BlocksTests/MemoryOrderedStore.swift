import OrderedStore

/// An ordered map in memory that fails when it is told to.
final class MemoryOrderedStore: OrderedStore {
    private var rows: [(key: [UInt8], value: [UInt8])] = []
    var failure: StoreError?

    var count: Int { rows.count }

    func write(_ batch: WriteBatch) throws(StoreError) {
        if let failure { throw failure }
        for operation in batch.operations {
            switch operation {
            case .put(let key, let value):
                let index = index(of: key)
                if index < rows.count, rows[index].key == key { rows[index].value = value } else { rows.insert((key, value), at: index) }
            case .delete(let key):
                let index = index(of: key)
                if index < rows.count, rows[index].key == key { rows.remove(at: index) }
            }
        }
    }

    func flush() throws(StoreError) {}

    func snapshot() -> any OrderedReader & Sendable { Frozen(rows) }

    func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? {
        let index = index(of: key)
        return index < rows.count && rows[index].key == key ? rows[index].value : nil
    }

    func scan(
        from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        try Frozen(rows).scan(from: lower, to: upper, visit)
    }

    private func index(of key: [UInt8]) -> Int {
        Self.index(of: key, in: rows)
    }

    private static func index(of key: [UInt8], in rows: [(key: [UInt8], value: [UInt8])]) -> Int {
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].key.lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private final class Frozen: OrderedReader, Sendable {
        private let rows: [(key: [UInt8], value: [UInt8])]

        init(_ rows: [(key: [UInt8], value: [UInt8])]) { self.rows = rows }

        func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? { rows.first { $0.key == key }?.value }

        func scan(
            from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
        ) throws(StoreError) {
            for (key, value) in rows[MemoryOrderedStore.index(of: lower, in: rows)...] {
                if let upper, !key.lexicographicallyPrecedes(upper) { return }
                let goesOn = key.withUnsafeBytes { key in value.withUnsafeBytes { value in visit(key, value) } }
                if !goesOn { return }
            }
        }
    }
}
