/// The records at the end of a segment that no later record says to have been durable.
struct UnprovenRecords {
    private var records: [(sequence: UInt64, offset: UInt64)] = []
    private var start = 0

    /// Where the first of them begins.
    var first: UInt64? { start < records.count ? records[start].offset : nil }

    /// - Parameter durable: records below were durable when this one was written.
    mutating func add(_ sequence: UInt64, at offset: UInt64, durable: UInt64) {
        while start < records.count, records[start].sequence < durable { start += 1 }
        if start == records.count || start > 1024 {
            records.removeFirst(start)
            start = 0
        }
        records.append((sequence, offset))
    }
}
