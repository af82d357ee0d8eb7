import Model

/// A `.persist` effect that is not answered yet, and what waits for it.
struct Write: Sendable {
    /// What may happen only after the write; dropped if the term has changed by then.
    enum Waiting: Sendable {
        case send(Message, to: NodeID)
        /// The candidate counts its own vote.
        case ownVote
    }

    let token: UInt64
    /// The last entry that is durable with this write and still in the log; 0 for none.
    var last: LogIndex
    let hasHardState: Bool
    var waiting: [(waiting: Waiting, term: Term)]
    var isDone = false
}
