import Consensus
import Model

/// What a server keeps while it leads.
struct Leadership {
    enum Phase {
        /// The first entry of the term is not applied yet: the state may lack what was committed before.
        case catchingUp
        /// Sessions say what they hold; nothing else is served.
        case grace
        case serving
    }

    var term: Term
    /// When the term began here, monotonic nanoseconds.
    var since: UInt64
    var phase = Phase.catchingUp
    /// Sessions that have not said yet what they hold.
    var unclaimed: Set<SessionID> = []
    /// Requests that wait for the grace period or its end.
    var waiters: [UnsafeContinuation<Void, Never>] = []
}

/// Linearizable reads (Raft §8; dissertation §6.4). While one question is out, further readers gather for the next: one that was asked
/// before they came proves nothing to them.
struct ReadBarrier {
    /// The token of the question that is out; 0 for none.
    var token: UInt64 = 0
    /// What the question that was just asked was answered with, if at once.
    var answer: LogIndex?
    var asked: [UnsafeContinuation<LogIndex?, Never>] = []
    var gathering: [UnsafeContinuation<LogIndex?, Never>] = []
}

/// Someone who waits until the state contains the log up to `index`.
struct AppliedWaiter {
    var index: LogIndex
    var continuation: UnsafeContinuation<Void, Never>
}
