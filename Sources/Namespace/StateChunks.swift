import Bytes
package import OrderedStore

/// The rows of a namespace in key order, cut into chunks, for the transfer to another replica.
package struct StateChunks {
    private let reader: any OrderedReader & Sendable
    private var next: [UInt8]? = []

    /// - Parameter reader: a snapshot, so that the chunks are of one moment; its `StateRecord` says which.
    package init(_ reader: any OrderedReader & Sendable) { self.reader = reader }

    /// The next chunk; nil after the last one.
    /// - Parameter bytes: about how large a chunk becomes; one row more at most.
    package mutating func chunk(bytes: Int) throws(StoreError) -> [UInt8]? {
        guard let from = next else { return nil }
        var chunk = StateChunk()
        var count = 0
        try unsafe reader.scan(from: from, to: nil) { key, value in
            unsafe chunk.rows.append((Array(key), Array(value)))
            count += key.count + value.count
            return count < bytes
        }
        next = chunk.rows.last.map { $0.key + [0] }
        return chunk.rows.isEmpty ? nil : chunk.encoded
    }
}
