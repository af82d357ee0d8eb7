/// Where a record begins.
package struct JournalPosition: Hashable, Comparable, Sendable {
    /// Number of the segment, from 1. Grows; a number is used again only for a segment that was truncated away.
    package var segment: UInt64
    /// Byte offset in the segment's file. A multiple of 8.
    package var offset: UInt64

    package init(segment: UInt64, offset: UInt64) {
        self.segment = segment
        self.offset = offset
    }

    package static func < (left: JournalPosition, right: JournalPosition) -> Bool {
        (left.segment, left.offset) < (right.segment, right.offset)
    }
}

/// A place between records: everything before it has a sequence number below `sequence`. Recovery may start here.
package struct JournalCursor: Hashable, Sendable {
    /// Where the next record begins, unless that one opened a new segment.
    package var position: JournalPosition
    /// The sequence number of the next record. The first record of a journal has 1.
    package var sequence: UInt64
    /// Where the record before begins, in the same segment; it must be there for recovery to start here. 0 if that is not known or there is none.
    package var previous: UInt64

    package init(position: JournalPosition, sequence: UInt64, previous: UInt64) {
        self.position = position
        self.sequence = sequence
        self.previous = previous
    }
}
