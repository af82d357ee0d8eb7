import Model
import Namespace
import Runtime

/// A command of this client from the call to its outcome.
@LoopActor
final class OutgoingCommand {
    let sequence: UInt64
    let command: Command
    /// As in `Proposal`.
    let shown: Timestamp?
    /// Monotonic nanoseconds after which the caller is told that nobody answered.
    private(set) var deadline: UInt64
    /// The connection over which it was last sent; 0: it was never sent.
    var generation: UInt64 = 0
    /// Its caller was told that nobody answered. Until the outcome is known nothing may be cached of what it touches: a leader may carry it out at any time.
    private(set) var isAbandoned = false
    private(set) var result: Result<Outcome, MetadataError>?
    private var waiter: UnsafeContinuation<Result<Outcome, MetadataError>, Never>?

    /// - Parameter submitted: what a command touches that nobody waits for; nil for any other.
    init(sequence: UInt64, command: Command, shown: Timestamp? = nil, deadline: UInt64, submitted: [InodeID]? = nil) {
        self.sequence = sequence
        self.command = command
        self.shown = shown
        self.deadline = deadline
        isSubmitted = submitted != nil
        if case .update(let inode, _, _, _) = command { flushed = [inode] } else { flushed = submitted ?? [] }
    }

    /// The directories whose names it changes, and what else of that is known beforehand.
    var touched: [InodeID] {
        switch command {
        case .create(let parent, _, _, _, _, _, _, _, _), .createNumbered(_, let parent, _, _, _, _, _, _, _), .unlink(let parent, _, _),
            .removeDirectory(let parent, _, _):
            [parent] + flushed
        case .link(let inode, let parent, _): [parent, inode]
        case .rename(let from, _, let to, _, _, _): [from, to] + flushed
        default: []
        }
    }

    /// What it changes, if others may wait for that: an update may be what a recall flushes; what was submitted always may.
    let flushed: [InodeID]
    /// Nobody waits for it, so it must keep its place among its like.
    let isSubmitted: Bool

    func wait() async throws(MetadataError) -> Outcome {
        if let result { return try result.get() }
        return try await withUnsafeContinuation { waiter = $0 }.get()
    }

    /// Neither answered nor to be forgotten.
    var isOutstanding: Bool { result == nil || isAbandoned }

    /// Tells the caller that nobody answered; the command goes on until that is no longer so.
    func abandon(_ error: MetadataError) {
        finish(.failure(error))
        isAbandoned = true
        deadline = .max
    }

    func finish(_ result: Result<Outcome, MetadataError>) {
        isAbandoned = false
        guard self.result == nil else { return }
        self.result = result
        waiter?.resume(returning: result)
        waiter = nil
    }
}
