import Bytes
import Consensus
import Model
import Namespace
import OrderedStore

/// A piece of a snapshot on the wire. The rows travel as the request's payload.
struct SnapshotChunk: Equatable, Sendable, ByteCodable {
    /// Drawn by the sender for this transfer.
    var transfer: UInt64
    /// Counts the pieces from 0.
    var number: UInt64
    var isLast: Bool
    /// The sender's term.
    var term: Term
    var mark: SnapshotMark

    init(transfer: UInt64, number: UInt64, isLast: Bool, term: Term, mark: SnapshotMark) {
        self.transfer = transfer
        self.number = number
        self.isLast = isLast
        self.term = term
        self.mark = mark
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        transfer = try reader.integer()
        number = try reader.integer()
        isLast = try reader.boolean()
        term = try reader.integer()
        mark = try SnapshotMark(from: &reader)
    }

    func encode(to writer: inout ByteWriter) {
        writer.integer(transfer)
        writer.integer(number)
        writer.boolean(isLast)
        writer.integer(term)
        mark.encode(to: &writer)
    }
}

/// Rows of a store, gathered page by page.
struct RowPage: Sendable {
    /// Bytes at which a page ends; one row may go beyond it.
    static let bytes = 1 << 20
    private static let keyBytes = 1 << 16
    private static let valueBytes = 16 << 20

    var rows: [ScanPage.Row] = []
    /// Where the next page begins; nil after the last row.
    var next: [UInt8]?

    /// The rows from `lower` on.
    static func read(_ reader: any OrderedReader, from lower: [UInt8]) -> Result<RowPage, StoreError> {
        var page = RowPage()
        var count = 0
        do throws(StoreError) {
            try reader.scan(from: lower, to: nil) { key, value in
                guard count < bytes else {
                    page.next = Array(key)
                    return false
                }
                page.rows.append(ScanPage.Row(key: Array(key), value: Array(value)))
                count += key.count + value.count + 8
                return true
            }
        } catch {
            return .failure(error)
        }
        return .success(page)
    }

    var encodedRows: [UInt8] {
        var writer = ByteWriter(reserving: rows.reduce(8) { $0 + $1.key.count + $1.value.count + 8 })
        #if CANARIES
            var rows = rows
            let entry = Table.entry.prefix
            if Canary.snapshotsInPart.isActive, let last = rows.lastIndex(where: { $0.key.starts(with: entry) }) { rows.remove(at: last) }
        #endif
        writer.array(rows) {
            $0.bytes($1.key)
            $0.bytes($1.value)
        }
        return writer.bytes
    }

    /// Turns what `encodedRows` wrote into a batch.
    static func batch(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> WriteBatch {
        var reader = ByteReader(bytes)
        var batch = WriteBatch()
        let count: UInt32 = try reader.integer()
        for _ in 0..<count { batch.put(try reader.bytes(max: keyBytes), try reader.bytes(max: valueBytes)) }
        try reader.finish()
        return batch
    }
}

/// A snapshot that is arriving.
struct SnapshotInstallation {
    var transfer: UInt64
    var mark: SnapshotMark
    var store: any OrderedStore
    /// The number of the piece that comes next.
    var next: UInt64
}

/// A snapshot of the state that a scan reads page by page.
struct PinnedScan {
    var reader: any OrderedReader & Sendable
    var appliedIndex: UInt64
    /// Monotonic nanoseconds.
    var lastUse: UInt64
}
