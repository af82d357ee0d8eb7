import Bytes
package import Runtime
package import Telemetry

/// A segmented append-only log with group commit, for consensus and for blocks.
///
/// - One writer: the journal itself. Records get sequence numbers and places in the order of the calls of `append`, whether or
///   not they were awaited.
/// - A record is durable when `append` with `sync` returns. A crash before keeps or loses it; it is never half there. Records
///   that were not durable yet may be lost, but only as a suffix.
/// - A log that replaces a suffix (Raft §5.3) may either `truncate`, or append the replacing entries and let the later
///   one win when it recovers, which saves a sync.
///
/// Order of syncs: a segment is sealed and synced before the next one exists; the next one's header is synced, then its name in the
/// directory, before the first record is written to it. So the segments on disk are always a prefix of what was written, up to one tail.
@LoopActor
package final class Journal: Sendable {
    let environment: Environment
    let directory: String
    let options: JournalOptions
    let log: Log
    /// Oldest first. Records go into the last one, unless it is sealed.
    var list: [Segment] = []
    var byNumber: [UInt64: Segment] = [:]
    /// Sequence number of the next record.
    var nextSequence: UInt64 = 1
    /// Records below are durable.
    var durableSequence: UInt64 = 1
    var failure: JournalError?
    /// What callers wait for, in their order.
    var queue: [Request] = []
    var isFlushing = false
    var isZeroing = false
    var zeroingWaiter: UnsafeContinuation<Void, Never>?
    /// While opening: files without a header.
    var unreadable: [(number: UInt64, path: String, file: any DiskFile, length: UInt64)] = []
    /// Highest number of a file that is left alone because its header is damaged.
    var highestDamaged: UInt64 = 0
    private var useCounter: UInt64 = 0

    init(environment: Environment, directory: String, options: JournalOptions, log: Log) {
        self.environment = environment
        self.directory = directory
        self.options = options
        self.log = log
    }

    /// Opens the journal in `directory`, which is created if missing, and hands what it holds to `visit`, in order.
    ///
    /// A torn tail (the remains of appends that never returned) is cut off. Damage before the tail is `.corrupt`, or skipped, as the
    /// options say. A record of the last synced group that rots while nothing was written behind it cannot be told from a torn one;
    /// it is cut.
    /// - Parameter start: where to begin; segments before it are not read. Nil for the beginning. `.invalid` if the journal does not
    ///   reach so far, or holds another record before it.
    package static func open(
        environment: Environment, directory: String, options: JournalOptions, log: Log, from start: JournalCursor? = nil,
        visit: (JournalRecovery) -> Void
    ) async throws(JournalError) -> Journal {
        precondition(options.payloadMax >= 0 && options.payloadMax <= RecordHead.payloadLimit && options.groupBytesMax > 0)
        precondition(options.segmentBytes >= 64 << 10 && options.segmentBytes <= SegmentHeader.bytesMax && options.openFilesMax > 0)
        let journal = Journal(environment: environment, directory: directory, options: options, log: log)
        try await journal.recover(from: start, visit)
        return journal
    }

    /// The place behind the last record that was written.
    package var end: JournalCursor {
        JournalCursor(
            position: JournalPosition(segment: list.last?.number ?? 0, offset: list.last?.used ?? 0), sequence: nextSequence,
            previous: list.last?.lastRecord ?? 0)
    }

    /// Whether a write or a sync failed, so that no record is taken any more.
    package var hasFailed: Bool { failure != nil }

    /// The segments, oldest first.
    package var segments: [JournalSegment] { list.map(\.summary) }

    /// One segment; nil if there is none of this number.
    package func segment(_ number: UInt64) -> JournalSegment? { byNumber[number]?.summary }

    /// Writes one record and returns when it is durable, or, without `sync`, when it was handed to the system.
    ///
    /// While one group is being written, further records collect and go out together in one write and one sync. The queue holds nothing but the
    /// records of suspended callers, so whoever bounds the callers bounds the queue.
    /// - Parameters:
    ///   - type: 1 … 127.
    ///   - header: at most 64 KiB.
    ///   - urgent: may use the disk space held back by `JournalOptions.reserveBytes`.
    ///   - written: called in the order of the records, when the caller's condition is met, before any caller goes on.
    @discardableResult
    package func append(
        type: UInt8, header: [UInt8], payload: JournalPayload? = nil, sync: Bool = true, urgent: Bool = false,
        written: (@LoopActor (JournalAppended) -> Void)? = nil
    ) async throws(JournalError) -> JournalAppended {
        guard type >= 1, type < 0x80, header.count <= RecordHead.headerMax, (payload?.bytes.count ?? 0) <= options.payloadMax else {
            throw JournalError(.invalid, "record of type \(type) with \(header.count) + \(payload?.bytes.count ?? 0) bytes is over the limit")
        }
        let record = PendingRecord(type: type, header: header, payload: payload, sync: sync, urgent: urgent, written: written)
        guard let appended = try await request(.append(record)) else { throw JournalError(.failed, "an append was answered without a place") }
        return appended
    }

    /// Returns when every record appended before is durable.
    package func sync() async throws(JournalError) { _ = try await request(.sync) }

    /// Removes the record that begins at `position` and everything behind it; returns when that is durable. A crash before keeps a prefix
    /// of what was to go. Appends called before are done before, later ones after. The sequence numbers are used again.
    /// - Throws: `.invalid` if no record begins at `position`.
    package func truncate(from position: JournalPosition) async throws(JournalError) { _ = try await request(.truncate(position)) }

    /// Ends the last segment and begins a new one, which may use the reserve, so that the old one can be removed.
    package func roll() async throws(JournalError) { _ = try await request(.roll) }

    /// Bytes that a record of these lengths takes in a segment.
    package nonisolated static func recordLength(headerCount: Int, payloadCount: Int) -> Int {
        RecordHead.length(headerCount: headerCount, payloadCount: payloadCount)
    }

    private func request(_ work: Request.Work) async throws(JournalError) -> JournalAppended? {
        if let failure { throw failure }
        return try await withUnsafeContinuation {
            (continuation: UnsafeContinuation<Result<JournalAppended?, JournalError>, Never>) in
            queue.append(Request(work: work, continuation: continuation))
            if !isFlushing {
                isFlushing = true
                Task { @LoopActor in await self.flush() }
            }
        }.get()
    }

    /// The file of a segment, opened again if it was closed.
    func file(of segment: Segment) async throws(JournalError) -> any DiskFile {
        useCounter += 1
        segment.lastUse = useCounter
        if let file = segment.file { return file }
        do throws(DiskError) {
            let file = try await environment.disk.open(segment.path, .existing)
            segment.file = file
            closeIdleFiles()
            return file
        } catch {
            throw JournalError(error)
        }
    }

    /// Closes what was not read for longest, so that at most `openFilesMax` stay open. Reads under way keep theirs.
    func closeIdleFiles() {
        var open = list.filter { $0.file != nil }.count
        while open > options.openFilesMax {
            let idle = list.dropLast().filter { $0.file != nil }.min { $0.lastUse < $1.lastUse }
            guard let idle else { return }
            idle.file = nil
            open -= 1
        }
    }

    func fail(_ error: JournalError) {
        guard failure == nil else { return }
        log.error("the journal takes no more records", ["directory": directory, "cause": error.cause])
        failure = JournalError(.failed, error.cause)
    }
}

/// What a suspended caller wants.
struct Request {
    enum Work {
        case append(PendingRecord)
        case sync
        case truncate(JournalPosition)
        case roll
    }

    let work: Work
    let continuation: UnsafeContinuation<Result<JournalAppended?, JournalError>, Never>
}

/// A record that is not written yet.
struct PendingRecord {
    let type: UInt8
    let header: [UInt8]
    let payload: JournalPayload?
    let sync: Bool
    let urgent: Bool
    let written: (@LoopActor (JournalAppended) -> Void)?

    var length: Int { RecordHead.length(headerCount: header.count, payloadCount: payload?.bytes.count ?? 0) }
}

extension Segment {
    var summary: JournalSegment {
        JournalSegment(
            number: number, firstSequence: header.firstSequence, usedBytes: used, fileBytes: fileBytes, sealed: sealed)
    }
}

extension JournalError {
    init(_ error: DiskError) { self.init(error.code == .noSpace ? .noSpace : .failed, error.cause) }
}
