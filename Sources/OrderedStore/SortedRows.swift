import Glibc

/// Sorted rows as a value: a list of sorted chunks that copies share until one of them changes.
struct SortedRows: Sendable {
    /// Rows whose keys follow each other; never empty.
    private struct Chunk: Sendable {
        var keys: [[UInt8]]
        var values: [[UInt8]]
    }

    /// A chunk is split above this: inserting moves at most this many references.
    private static let chunkRowsMax = 256

    private var chunks: [Chunk] = []
    private(set) var count = 0

    func get(_ key: [UInt8]) -> [UInt8]? {
        guard let chunk = chunkIndex(of: key) else { return nil }
        let (index, found) = Self.position(of: key, in: chunks[chunk].keys)
        return found ? chunks[chunk].values[index] : nil
    }

    mutating func put(_ key: [UInt8], _ value: [UInt8]) {
        guard !chunks.isEmpty else {
            chunks = [Chunk(keys: [key], values: [value])]
            count = 1
            return
        }
        let chunk = chunkIndex(of: key) ?? 0
        let (index, found) = Self.position(of: key, in: chunks[chunk].keys)
        if found {
            chunks[chunk].values[index] = value
            return
        }
        chunks[chunk].keys.insert(key, at: index)
        chunks[chunk].values.insert(value, at: index)
        count += 1
        if chunks[chunk].keys.count > Self.chunkRowsMax { split(chunk) }
    }

    mutating func delete(_ key: [UInt8]) {
        guard let chunk = chunkIndex(of: key) else { return }
        let (index, found) = Self.position(of: key, in: chunks[chunk].keys)
        guard found else { return }
        count -= 1
        if chunks[chunk].keys.count == 1 {
            chunks.remove(at: chunk)
        } else {
            chunks[chunk].keys.remove(at: index)
            chunks[chunk].values.remove(at: index)
        }
    }

    func scan(from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool) {
        guard !chunks.isEmpty else { return }
        var chunk = chunkIndex(of: lower) ?? 0
        var index = Self.position(of: lower, in: chunks[chunk].keys).index
        while chunk < chunks.count {
            let rows = chunks[chunk]
            while index < rows.keys.count {
                let key = rows.keys[index]
                if let upper, Self.order(key, upper) >= 0 { return }
                let proceed = key.withUnsafeBytes { key in rows.values[index].withUnsafeBytes { value in visit(key, value) } }
                guard proceed else { return }
                index += 1
            }
            chunk += 1
            index = 0
        }
    }

    /// A chunk filled by ascending keys stays full: the new one begins at its end.
    private mutating func split(_ chunk: Int) {
        let rows = chunks[chunk].keys.count
        let middle = chunk == chunks.count - 1 ? rows - rows / 8 : rows / 2
        let tail = Chunk(keys: Array(chunks[chunk].keys[middle...]), values: Array(chunks[chunk].values[middle...]))
        chunks[chunk].keys.removeSubrange(middle...)
        chunks[chunk].values.removeSubrange(middle...)
        chunks.insert(tail, at: chunk + 1)
    }

    /// The chunk that holds `key` if any does: the last one that begins at or before it.
    private func chunkIndex(of key: [UInt8]) -> Int? {
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            if Self.order(chunks[middle].keys[0], key) <= 0 { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : low - 1
    }

    /// Where `key` is or would be inserted.
    private static func position(of key: [UInt8], in keys: [[UInt8]]) -> (index: Int, found: Bool) {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            let order = order(keys[middle], key)
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return (low, false)
    }

    /// Below, at or above 0 as `left` comes before, is or comes after `right`.
    private static func order(_ left: [UInt8], _ right: [UInt8]) -> Int {
        let common = min(left.count, right.count)
        let prefix = left.withUnsafeBytes { left in
            right.withUnsafeBytes { right -> CInt in
                guard common > 0, let left = left.baseAddress, let right = right.baseAddress else { return 0 }
                return memcmp(left, right, common)
            }
        }
        return prefix != 0 ? Int(prefix) : left.count - right.count
    }
}
