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
@LoopActor
package final class Journal: Sendable {
    /// Opens the journal in `directory`, which is created if missing, and hands what it holds to `visit`, in order.
    ///
    /// A torn tail (the remains of appends that never returned) is cut off. Damage before the tail is `.corrupt`, or skipped, as the
    /// options say. A record of the last synced group that rots while nothing was written behind it cannot be told from a torn one;
    /// it is cut.
    /// - Parameter start: where to begin; segments before it are not read. Nil for the beginning.
    package static func open(
        environment: Environment, directory: String, options: JournalOptions, log: Log, from start: JournalCursor? = nil,
        visit: (JournalRecovery) -> Void
    ) async throws(JournalError) -> Journal {
        throw JournalError(.failed, "not open")
    }

    /// The place behind the last record that was written.
    package var end: JournalCursor { JournalCursor(position: JournalPosition(segment: 0, offset: 0), sequence: 0) }
    /// Whether a write or a sync failed, so that no record is taken any more.
    package var hasFailed: Bool { false }
    /// The segments, oldest first.
    package var segments: [JournalSegment] { [] }

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
        throw JournalError(.failed, "not open")
    }

    /// Returns when every record appended before is durable.
    package func sync() async throws(JournalError) {}

    /// Removes the record that begins at `position` and everything behind it; returns when that is durable. A crash before keeps a prefix
    /// of what was to go. Waits for running appends; the caller must not start others meanwhile. The sequence numbers are used again.
    package func truncate(from position: JournalPosition) async throws(JournalError) {}

    /// Removes the full segments whose number is below `segment`, oldest first; returns when that is durable.
    package func removeSegments(before segment: UInt64) async throws(JournalError) {}

    /// Removes one full segment; returns when that is durable.
    package func removeSegment(_ number: UInt64) async throws(JournalError) {}

    /// Reads one whole record of `length` bytes and checks all of it.
    /// - Throws: `.corrupt` if it is damaged, `.invalid` if there is no such segment.
    package func read(at position: JournalPosition, length: Int) async throws(JournalError) -> JournalRecord {
        throw JournalError(.failed, "not open")
    }
}
