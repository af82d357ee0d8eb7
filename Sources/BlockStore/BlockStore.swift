package import Digest
import Journal
package import OrderedStore
package import Runtime
package import Telemetry

/// The content-addressed store of one daemon: blocks in the segments of a journal, found by an index.
///
/// - A put is durable when it returns: first the record in the journal (one sync for all waiting puts), then the row in the index. The index is
///   not synced; it remembers up to where it has applied the journal, and opening applies the rest.
/// - A block is never served with bytes that do not match their checksums; a damaged copy is quarantined, and replaced by the next put
///   of its key.
/// - Deletes are records too. Space comes back when a segment that is mostly dead is compacted: live records are copied and durable,
///   the index is flushed, and only then the segment goes. So at every moment each block is in a segment that is on disk.
@LoopActor
package final class BlockStore: Sendable {
    let environment: Environment
    let directory: String
    let options: BlockStoreOptions
    let log: Log
    let journal: Journal
    let index: BlockIndex
    let codec = BlockCodec()
    let gate: ByteGate
    /// A write to the index failed, so it may be behind the journal.
    var failure: BlockStoreError?
    /// The put of each key that later puts of the key join.
    var flights: [BlockKey: PutFlight] = [:]
    /// Records of blocks that are on their way into the journal, by key.
    var putting: [BlockKey: Int] = [:]
    /// Deletes that are on their way into the journal, by key: the row is there, but will go.
    var deleting: [BlockKey: Int] = [:]
    var mismatches: UInt64 = 0
    var isCompacting = false
    var isClosing = false
    var compactionWaiters: [UnsafeContinuation<Void, Never>] = []

    private init(environment: Environment, directory: String, options: BlockStoreOptions, log: Log, journal: Journal, index: BlockIndex) {
        self.environment = environment
        self.directory = directory
        self.options = options
        self.log = log
        self.journal = journal
        self.index = index
        gate = ByteGate(limit: options.putBytesMax)
    }

    /// Opens the store in `directory`, which is created if missing.
    ///
    /// What the journal holds behind the place up to which the index has applied it is applied. An index that is empty, cannot be read, or knows
    /// segments that are not there is rebuilt from the journal: that reads the header of every record.
    /// - Parameters:
    ///   - index: nobody else's. An index that is lost or removed costs time, never blocks.
    ///   - rebuildIndex: rebuild it in any case.
    package static func open(
        environment: Environment, directory: String, index store: any OrderedStore, options: BlockStoreOptions, log: Log,
        rebuildIndex: Bool = false
    ) async throws(BlockStoreError) -> BlockStore {
        precondition(options.blockBytesMax > 0 && options.blockBytesMax <= 4 << 20 && options.putBytesMax > 0)
        let index = BlockIndex(store: store, cluster: options.cluster, node: options.node)
        var isUsable = false
        if !rebuildIndex {
            do throws(StoreError) {
                isUsable = try index.load()
            } catch {
                log.warning("the block index cannot be read and is rebuilt", ["cause": error.cause])
            }
        }
        var journal: Journal?
        if isUsable {
            do throws(BlockStoreError) {
                let opened = try await replay(environment, directory, options, log, into: index, from: index.state.applied)
                let present = Set(opened.segments.map(\.number))
                if index.usage.allSatisfy({ $0.value.live == 0 || present.contains($0.key) }) { journal = opened }
            } catch {
                // The journal does not reach as far as the index says.
                guard error.code == .invalid else { throw error }
            }
            if journal == nil { log.warning("the block index does not fit the segments and is rebuilt", ["directory": directory]) }
        }
        let ready: Journal
        if let journal {
            ready = journal
        } else {
            do throws(StoreError) { try index.clear() } catch { throw BlockStoreError(error) }
            ready = try await replay(environment, directory, options, log, into: index, from: nil)
            do throws(StoreError) { try index.flush() } catch { throw BlockStoreError(error) }
        }
        return BlockStore(environment: environment, directory: directory, options: options, log: log, journal: ready, index: index)
    }

    private static func replay(
        _ environment: Environment, _ directory: String, _ options: BlockStoreOptions, _ log: Log, into index: BlockIndex,
        from start: JournalCursor?
    ) async throws(BlockStoreError) -> Journal {
        let journalOptions = JournalOptions(
            cluster: options.cluster, node: options.node, use: 2, segmentBytes: options.segmentBytes,
            payloadMax: options.blockBytesMax, reserveBytes: options.reserveBytes, corruption: .skip, recoverPayloads: false)
        var failure: StoreError?
        let journal: Journal
        do throws(JournalError) {
            journal = try await Journal.open(
                environment: environment, directory: directory, options: journalOptions, log: log, from: start
            ) { found in
                guard failure == nil, case .record(let record) = found else { return }
                do throws(StoreError) {
                    try apply(record, to: index)
                } catch {
                    failure = error
                }
            }
        } catch {
            throw error.code == .invalid ? BlockStoreError(.invalid, error.cause) : BlockStoreError(error)
        }
        do throws(StoreError) {
            if let failure { throw failure }
            try index.pass(next: journal.end)
        } catch {
            throw BlockStoreError(error)
        }
        return journal
    }

    private static func apply(_ record: JournalRecord, to index: BlockIndex) throws(StoreError) {
        switch record.type {
        case BlockHeader.recordType:
            guard let header = BlockHeader(record.header) else { return }
            let row = BlockRow(position: record.position, storedCount: record.payloadCount, header: header)
            try index.put(header.key, row, next: record.next)
            if !record.intact { try index.quarantine(header.key, row) }
        case Tombstone.recordType:
            guard let keys = Tombstone.decode(record.header) else { return }
            try index.delete(keys, at: record.position, length: record.length, next: record.next)
        default:
            return
        }
    }

    /// Whether a good copy is here, as far as is known.
    package func contains(_ key: BlockKey) throws(BlockStoreError) -> Bool { try length(of: key) != nil }

    /// Bytes of the block's content; nil if there is no good copy.
    package func length(of key: BlockKey) throws(BlockStoreError) -> Int? {
        guard let row = try row(key), !row.isBad else { return nil }
        return row.length
    }

    /// Blocks in the order of their keys, from the first above `key`; damaged ones too. Fewer than `limit` only at the end.
    package func list(after key: BlockKey?, limit: Int) throws(BlockStoreError) -> [BlockListing] {
        var result: [BlockListing] = []
        if limit <= 0 { return result }
        do throws(StoreError) {
            try index.scan(after: key) { key, row in
                result.append(BlockListing(key: key, length: row.length, isBad: row.isBad))
                return result.count < limit
            }
        } catch {
            throw BlockStoreError(error)
        }
        return result
    }

    /// Keys of damaged copies, at most `limit`, in order.
    package func quarantined(limit: Int = 1024) throws(BlockStoreError) -> [BlockKey] {
        do throws(StoreError) { return try index.quarantined(limit: limit) } catch { throw BlockStoreError(error) }
    }

    /// Takes a copy out of service that a caller found bad or unreadable. Fine if there is none.
    package func quarantine(_ key: BlockKey) throws(BlockStoreError) {
        guard let row = try row(key) else { return }
        do throws(StoreError) { try index.quarantine(key, row) } catch { throw BlockStoreError(error) }
    }

    package func statistics() async throws(BlockStoreError) -> BlockStoreStatistics {
        let space: DiskSpace
        do throws(DiskError) {
            space = try await environment.disk.space(at: directory)
        } catch {
            throw BlockStoreError(.failed, error.cause)
        }
        let segments = journal.segments
        let live = index.usage.values.reduce(0) { $0 + $1.live }
        let used = segments.reduce(0) { $0 + $1.usedBytes }
        return BlockStoreStatistics(
            blocks: index.state.blocks, contentBytes: index.state.contentBytes, liveBytes: live, deadBytes: used - min(live, used),
            fileBytes: segments.reduce(0) { $0 + $1.fileBytes }, segments: segments.count,
            quarantined: Int(clamping: index.state.quarantined), mismatches: mismatches, diskTotal: space.total,
            diskAvailable: space.available, hasFailed: failure != nil || journal.hasFailed)
    }

    /// Lets a running compaction end and flushes the index, so that the next opening has nothing to apply. No call may follow.
    package func close() async throws(BlockStoreError) {
        isClosing = true
        if isCompacting {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in compactionWaiters.append(continuation) }
        }
        do throws(StoreError) { try index.flush() } catch { throw BlockStoreError(error) }
    }

    func row(_ key: BlockKey) throws(BlockStoreError) -> BlockRow? {
        do throws(StoreError) { return try index.row(key) } catch { throw BlockStoreError(error) }
    }

    /// Runs a change of the index that follows a durable record. If it fails, the store takes no more writes: opening it again applies what is missing.
    func changeIndex(_ change: () throws(StoreError) -> Void) {
        do throws(StoreError) {
            try change()
            if index.unflushedBytes >= options.indexFlushBytes { try index.flush() }
        } catch {
            log.error("the block index cannot be written; no more blocks are stored", ["cause": error.cause])
            failure = failure ?? BlockStoreError(error)
        }
    }
}
