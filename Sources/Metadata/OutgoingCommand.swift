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

    init(sequence: UInt64, command: Command, deadline: UInt64) {
        self.sequence = sequence
        self.command = command
        self.deadline = deadline
    }

    /// The inode that an update changes.
    var updated: InodeID? {
        if case .update(let inode, _, _, _) = command { inode } else { nil }
    }

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
