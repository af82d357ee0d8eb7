import OrderedStore
import Journal

/// What can go wrong with a block store.
package struct BlockStoreError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// There is no such block here.
        case notFound
        /// The copy here is damaged; it is quarantined and not served again.
        case corrupt
        /// The content does not have this key. Nothing was stored.
        case mismatch
        /// The disk is full up to the reserve. Reads, deletes and compaction go on.
        case noSpace
        /// The block is empty or over the limit, or the range is outside it.
        case invalid
        /// The disk failed. After a failed write nothing is stored any more; reads go on where they can.
        case failed
        /// The data belongs to another node or cluster, or has a newer format.
        case foreign
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }

    init(_ error: JournalError) {
        let code: Code =
            switch error.code {
            case .noSpace: .noSpace
            case .failed, .invalid: .failed
            case .corrupt: .corrupt
            case .foreign: .foreign
            }
        self.init(code, error.cause)
    }

    init(_ error: StoreError) { self.init(.failed, "block index: \(error.cause)") }
}
