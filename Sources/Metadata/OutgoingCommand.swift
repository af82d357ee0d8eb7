import Model
import Namespace
import Runtime

/// A command of this client from the call to its outcome.
@LoopActor
final class OutgoingCommand {
    let sequence: UInt64
    let command: Command
    /// Monotonic nanoseconds after which the caller is told that nobody answered.
    let deadline: UInt64
    /// The connection over which it was last sent.
    var generation: UInt64 = 0
    private(set) var result: Result<Outcome, MetadataError>?
    private var waiter: UnsafeContinuation<Result<Outcome, MetadataError>, Never>?

    /// - Parameter submitted: what a command touches that nobody waits for; nil for any other.
    init(sequence: UInt64, command: Command, deadline: UInt64, submitted: [InodeID]? = nil) {
        self.sequence = sequence
        self.command = command
        self.deadline = deadline
        isSubmitted = submitted != nil
        if case .update(let inode, _, _, _) = command { flushed = [inode] } else { flushed = submitted ?? [] }
    }

    /// What it changes, if others may wait for that: an update may be what a recall flushes; what was submitted always may.
    let flushed: [InodeID]
    /// Nobody waits for it, so it must keep its place among its like.
    let isSubmitted: Bool

    func wait() async throws(MetadataError) -> Outcome {
        if let result { return try result.get() }
        return try await withUnsafeContinuation { waiter = $0 }.get()
    }

    func finish(_ result: Result<Outcome, MetadataError>) {
        guard self.result == nil else { return }
        self.result = result
        waiter?.resume(returning: result)
        waiter = nil
    }
}
