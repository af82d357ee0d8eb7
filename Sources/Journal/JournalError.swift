/// What can go wrong with a journal.
package struct JournalError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The disk is full, or would fall under the reserve. Nothing was written; the journal goes on.
        case noSpace
        /// A write or a sync failed. The journal takes no more records, ever: the kernel may have dropped the pages, and a
        /// second sync proves nothing. Reads go on. Reopening the journal tells what survived.
        case failed
        /// A record that was once durable is damaged, at this place.
        case corrupt(segment: UInt64, offset: UInt64)
        /// The segments belong to another cluster, node or use, or have a newer format.
        case foreign
        /// The record is over the limit of the options, or a position is not one of this journal.
        case invalid
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
