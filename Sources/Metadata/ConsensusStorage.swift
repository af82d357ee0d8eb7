package import Consensus
import Bytes
import Journal
import Model
package import Runtime
package import Telemetry

/// Raft's persistent state on a journal (figure 2 of the paper): term and vote, the entries, and the mark of what the state store holds.
///
/// What several consecutive steps want written goes out as one record, hence with one sync.
@LoopActor
package final class ConsensusStorage {
    private enum Kind {
        static let small: UInt8 = 1
        static let large: UInt8 = 2
    }

    /// Journal `use` number of the consensus log.
    private static let use: UInt32 = 1
    /// Bytes that are joined into one record; a single larger entry goes alone.
    private static let recordBytes = 4 << 20
    /// Up to here the items travel in the record's header, which saves a buffer.
    private static let headerBytes = 32 << 10

    private struct Job {
        var items: [LogItem]
        /// Index of the last entry among the items.
        var last: LogIndex?
        var token: UInt64?
        var done: UnsafeContinuation<Bool, Never>?
    }

    private let journal: Journal
    private let log: Log
    /// What was on disk at the start; nil for a new log.
    package let restored: Restored?
    private var queue: [Job] = []
    private var isWriting = false
    private var hardState: HardState
    /// For each segment the highest entry index in it.
    private var segmentLast: [(segment: UInt64, index: LogIndex)] = []
    /// Up to here the log is durable on this server's own disk.
    package private(set) var durableIndex: LogIndex = 0
    /// Bytes and entries written since the last compaction.
    package private(set) var bytesSinceMark = 0
    package private(set) var entriesSinceMark = 0
    /// A write failed: nothing more is promised to anyone.
    package private(set) var hasFailed = false
    /// It failed because the disk was full: what is on the disk is sound, and a server that is started on it when there is room can go on.
    package private(set) var isOutOfSpace = false
    /// Called for each `persist` token in order, when it is durable.
    package var onPersisted: ((UInt64) -> Void)?
    /// Called once when the disk failed.
    package var onFailure: ((String) -> Void)?

    private init(journal: Journal, log: Log, restored: Restored?, hardState: HardState, segments: [(segment: UInt64, index: LogIndex)]) {
        self.journal = journal
        self.log = log
        self.restored = restored
        self.hardState = hardState
        segmentLast = segments
        entriesSinceMark = restored?.entries.count ?? 0
        durableIndex = restored.map { $0.entries.last?.index ?? $0.snapshot.index } ?? 0
    }

    /// Opens the log. A torn tail is cut.
    /// - Parameter stateIndex: up to where the state store has applied, durably.
    /// - Throws: `.corrupt` if an entry before the tail is damaged, or log and state contradict each other: such a server must not vote.
    package static func open(
        environment: Environment, options: MetadataOptions, stateIndex: LogIndex, log: Log
    ) async throws(MetadataServerError) -> ConsensusStorage {
        var recovery = ConsensusRecovery()
        var segments: [(segment: UInt64, index: LogIndex)] = []
        var failure: String?
        let settings = JournalOptions(
            cluster: options.cluster, node: options.node, use: use, segmentBytes: options.logSegmentBytes, payloadMax: 24 << 20,
            groupBytesMax: 24 << 20, zeroFill: true)
        let directory = options.logDirectory
        let journal: Journal
        do throws(JournalError) {
            journal = try await Journal.open(environment: environment, directory: directory, options: settings, log: log) { found in
                guard failure == nil, case .record(let record) = found else { return }
                do throws(DecodeError) {
                    let source = record.type == Kind.large ? record.payload : record.header
                    let items = try source.withBytes { bytes throws(DecodeError) in try Self.decode(bytes) }
                    for item in items {
                        recovery.replay(item)
                        if case .entry(let entry) = item { Self.note(entry.index, in: record.position.segment, &segments) }
                    }
                } catch {
                    failure = "the metadata log holds a record that says nothing: \(error)"
                }
            }
        } catch {
            if case .corrupt = error.code { throw MetadataServerError(.corrupt, "the metadata log is damaged: \(error.cause)") }
            throw MetadataServerError(.storage, "the metadata log cannot be opened: \(error.cause)")
        }
        if let failure { throw MetadataServerError(.corrupt, failure) }
        let restored = try recovery.finish(stateIndex: stateIndex)
        return ConsensusStorage(journal: journal, log: log, restored: restored, hardState: recovery.hardState, segments: segments)
    }

    private nonisolated static func decode(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> [LogItem] {
        var reader = ByteReader(bytes)
        var items: [LogItem] = []
        while !reader.isAtEnd { items.append(try LogItem(from: &reader)) }
        return items
    }

    private nonisolated static func note(_ index: LogIndex, in segment: UInt64, _ segments: inout [(segment: UInt64, index: LogIndex)]) {
        if let last = segments.indices.last, segments[last].segment == segment {
            segments[last].index = max(segments[last].index, index)
        } else {
            segments.append((segment, index))
        }
    }

    /// Writes what a `.persist` effect carries; `onPersisted(token)` follows.
    package func persist(_ state: HardState?, _ entries: [Entry], token: UInt64) {
        var items: [LogItem] = []
        items.reserveCapacity(entries.count + 1)
        if let state {
            hardState = state
            items.append(.hardState(state))
        }
        for entry in entries { items.append(.entry(entry)) }
        entriesSinceMark += entries.count
        enqueue(Job(items: items, last: entries.last?.index, token: token, done: nil))
    }

    /// Writes the first mark of a new group.
    /// - Throws: `.storage`.
    package func bootstrap(_ mark: SnapshotMark) async throws(MetadataServerError) { try await write([.mark(mark)]) }

    /// Says durably that a snapshot is about to be adopted, so that a restart knows what a newer state belongs to.
    package func beginInstall(_ mark: SnapshotMark) async throws(MetadataServerError) { try await write([.installing(mark)]) }

    /// A snapshot up to `index` is in force: nothing below it is missing here.
    package func skip(to index: LogIndex) { durableIndex = max(durableIndex, index) }

    /// Says durably that the state store holds everything up to `mark`, and drops the segments that are no longer needed.
    package func compact(_ mark: SnapshotMark) async throws(MetadataServerError) {
        bytesSinceMark = 0
        entriesSinceMark = 0
        try await write([.mark(mark), .hardState(hardState)])
        var keep = journal.end.position.segment
        if let first = segmentLast.first(where: { $0.index > mark.index }) { keep = min(keep, first.segment) }
        guard let oldest = journal.segments.first, oldest.number < keep else { return }
        do throws(JournalError) {
            try await journal.removeSegments(before: keep)
            segmentLast.removeAll { $0.segment < keep }
        } catch {
            log.warning("old segments of the metadata log could not be removed", ["cause": error.cause])
        }
    }

    private func write(_ items: [LogItem]) async throws(MetadataServerError) {
        let succeeded = await withUnsafeContinuation { continuation in
            enqueue(Job(items: items, last: nil, token: nil, done: continuation))
        }
        guard succeeded else { throw MetadataServerError(.storage, "the metadata log cannot be written") }
    }

    private func enqueue(_ job: Job) {
        guard !hasFailed else {
            job.done?.resume(returning: false)
            return
        }
        queue.append(job)
        guard !isWriting else { return }
        isWriting = true
        Task { @LoopActor in await self.drain() }
    }

    /// Writes the queue, each time everything that has gathered meanwhile.
    private func drain() async {
        while !queue.isEmpty, !hasFailed {
            var writer = ByteWriter(reserving: 512)
            var taken = 0
            var last: LogIndex = 0
            while taken < queue.count, taken == 0 || writer.count < Self.recordBytes {
                for item in queue[taken].items {
                    item.encode(to: &writer)
                    if case .entry(let entry) = item { last = max(last, entry.index) }
                }
                taken += 1
            }
            let jobs = Array(queue[..<taken])
            queue.removeFirst(taken)
            // A job without items (the same term and vote again) has nothing to wait for but its turn.
            let succeeded = writer.count == 0 ? true : await append(writer.bytes, last)
            guard succeeded else {
                for job in jobs { job.done?.resume(returning: false) }
                break
            }
            for job in jobs {
                if let last = job.last { durableIndex = last }
                if let token = job.token { onPersisted?(token) }
                job.done?.resume(returning: true)
            }
        }
        isWriting = false
        if hasFailed {
            let jobs = queue
            queue = []
            for job in jobs { job.done?.resume(returning: false) }
        }
    }

    private func append(_ bytes: [UInt8], _ last: LogIndex) async -> Bool {
        do throws(JournalError) {
            let small = bytes.count <= Self.headerBytes
            #if CANARIES
                let sync = !Canary.skipsLogSync.isActive
            #else
                let sync = true
            #endif
            let appended = try await journal.append(
                type: small ? Kind.small : Kind.large, header: small ? bytes : [],
                payload: small ? nil : JournalPayload(Slice(copying: bytes)), sync: sync, urgent: true)
            bytesSinceMark += bytes.count
            if last > 0 { Self.note(last, in: appended.position.segment, &segmentLast) }
            return true
        } catch {
            // Also where the disk is only full: a promise was asked for and cannot be given.
            hasFailed = true
            isOutOfSpace = error.code == .noSpace
            log.error("the metadata log cannot be written; this server takes no more part in the group", ["cause": error.cause])
            onFailure?(error.cause)
            return false
        }
    }
}
