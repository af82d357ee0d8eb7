import Model
import Runtime
import Wire

/// The channel of a daemon to itself: requests go to its own handler without being encoded.
@LoopActor
final class LoopbackChannel: Channel {
    let peer: Peer
    private let clock: any Clock
    private let handler: RequestHandler

    init(node: NodeID, clock: any Clock, handler: @escaping RequestHandler) {
        peer = Peer(role: .node, node: node, label: "self")
        self.clock = clock
        self.handler = handler
    }

    var isOpen: Bool { true }

    func call(_ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(TransportError) -> Message {
        guard kind.allowed.contains(peer.role) else { throw TransportError(.denied, "\(kind) is not allowed to \(peer.role)") }
        let result: Result<Message, TransportError> = await withUnsafeContinuation { continuation in
            let call = PendingCall(id: 0, kind: kind, message: message, continuation: continuation)
            call.limit = clock.schedule(after: timeout) {
                call.finish(.failure(TransportError(.noAnswer, "no answer to \(kind) within \(timeout / Nanoseconds.millisecond) ms")))
            }
            Task { @LoopActor in
                do throws(TransportError) {
                    call.finish(.success(try await self.handler(kind, message, self)))
                } catch {
                    call.finish(.failure(error))
                }
            }
        }
        return try result.get()
    }

    /// It lives as long as the process.
    func onClose(_ body: @escaping @LoopActor () -> Void) {}

    func close() {}
}
