package import Bytes

/// A record as it was read back.
package struct JournalRecord: Sendable {
    package var position: JournalPosition
    package var sequence: UInt64
    /// The user's type. 1 … 127.
    package var type: UInt8
    /// Checked.
    package var header: Slice
    /// Empty if the payload was not read (see `JournalOptions.recoverPayloads`).
    package var payload: Slice
    /// Length of the whole payload on disk.
    package var payloadCount: Int
    /// False if the payload was read and does not match its checksums: then it must not be used.
    package var intact: Bool
    /// Bytes the whole record takes in the segment.
    package var length: Int
    /// Records with a lower sequence number were durable when this one was written.
    var durable: UInt64

    /// The place behind the record.
    package var next: JournalCursor {
        JournalCursor(
            position: JournalPosition(segment: position.segment, offset: position.offset + UInt64(length)), sequence: sequence + 1,
            previous: position.offset)
    }
}

/// What recovery found, in order.
package enum JournalRecovery: Sendable {
    case record(JournalRecord)
    /// Bytes that hold no record that can be read, though records behind them show that they were durable once. Only with
    /// `JournalOptions.Corruption.skip`.
    case damage(JournalPosition, count: UInt64)
}

/// A record that was written.
package struct JournalAppended: Sendable {
    package var position: JournalPosition
    package var sequence: UInt64
    /// Bytes the whole record takes in the segment.
    package var length: Int

    /// The place behind the record.
    package var next: JournalCursor {
        JournalCursor(
            position: JournalPosition(segment: position.segment, offset: position.offset + UInt64(length)), sequence: sequence + 1,
            previous: position.offset)
    }
}

/// A segment on disk.
package struct JournalSegment: Sendable {
    package var number: UInt64
    /// Sequence number of its first record.
    package var firstSequence: UInt64
    /// Bytes up to the end of its last record.
    package var usedBytes: UInt64
    /// Bytes of the file.
    package var fileBytes: UInt64
    /// Whether it is full: no record will be added to it.
    package var sealed: Bool
}
