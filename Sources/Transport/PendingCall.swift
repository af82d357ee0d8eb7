import Bytes
import Runtime
import Wire

/// A request of ours that is not answered yet.
@LoopActor
final class PendingCall {
    let id: UInt64
    let kind: RequestKind
    let payloadBytes: Int
    /// Until it is sent.
    var message: Message?
    /// nil once the caller has its result. The credit stays taken until the peer answers, for it is still at work.
    private var continuation: UnsafeContinuation<Result<Message, TransportError>, Never>?
    var limit: (any TimerHandle)?
    /// Where its frame starts among all bytes sent; nil while it waits for credit.
    var startsAt: UInt64?

    init(id: UInt64, kind: RequestKind, message: Message, continuation: UnsafeContinuation<Result<Message, TransportError>, Never>) {
        self.id = id
        self.kind = kind
        self.message = message
        payloadBytes = message.payload?.count ?? 0
        self.continuation = continuation
    }

    var isWaiting: Bool { continuation != nil }

    func finish(_ result: Result<Message, TransportError>) {
        limit?.cancel()
        limit = nil
        message = nil
        continuation?.resume(returning: result)
        continuation = nil
    }
}
