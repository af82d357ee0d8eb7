import Model
import Runtime

/// One attempt to connect, and everybody who waits for it.
@LoopActor
final class Attempt {
    @LoopActor
    private final class Waiter {
        var continuation: UnsafeContinuation<Result<MessageChannel, TransportError>, Never>?
        var limit: (any TimerHandle)?

        func finish(_ result: Result<MessageChannel, TransportError>) {
            limit?.cancel()
            continuation?.resume(returning: result)
            continuation = nil
        }
    }

    private let node: NodeID
    private var waiters: [Waiter] = []
    private var result: Result<MessageChannel, TransportError>?

    init(node: NodeID) { self.node = node }

    /// Waits at most `timeout` nanoseconds; the attempt goes on for the others.
    func wait(clock: any Clock, timeout: UInt64) async throws(TransportError) -> MessageChannel {
        if let result { return try result.get() }
        guard waiters.count < Self.waitersMax else { throw TransportError(.unavailable, "too many requests wait for node \(node)") }
        let waiter = Waiter()
        waiters.append(waiter)
        let outcome: Result<MessageChannel, TransportError> = await withUnsafeContinuation { continuation in
            waiter.continuation = continuation
            waiter.limit = clock.schedule(after: timeout) { [node] in
                waiter.finish(.failure(TransportError(.unreachable, "no connection to node \(node) in time")))
            }
        }
        return try outcome.get()
    }

    func finish(_ result: Result<MessageChannel, TransportError>) {
        self.result = result
        let all = waiters
        waiters = []
        for waiter in all { waiter.finish(result) }
    }

    private static let waitersMax = 8192
}
