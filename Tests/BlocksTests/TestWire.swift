import Model
import Runtime
import TestSupport
import Transport
import Wire

/// Carries requests between the daemons and clients of a test, with daemons that are gone, hang or are slow.
@LoopActor
final class TestWire {
    enum Behaviour {
        case up
        /// Nobody listens.
        case down
        /// Connects, and never answers.
        case hung
        /// Handles the request, and dies before it answers.
        case diesAnswering
        /// Answers after so many nanoseconds.
        case slow(UInt64)
    }

    typealias Handle = @LoopActor (RequestKind, Message) async throws(TransportError) -> Message

    private struct Handler {
        let handle: Handle
    }

    struct Call: Equatable {
        var source: NodeID?
        var target: NodeID
        var kind: RequestKind
    }

    let clock: VirtualClock
    var behaviour: [NodeID: Behaviour] = [:]
    private var handlers: [NodeID: Handler] = [:]
    var calls: [Call] = []
    /// Pairs that do not reach each other although both are up.
    var cuts: [(NodeID?, NodeID)] = []

    init(clock: VirtualClock) { self.clock = clock }

    func serve(_ node: NodeID, _ handle: @escaping Handle) { handlers[node] = Handler(handle: handle) }

    func client(of node: NodeID?) -> any RequestClient { Client(wire: self, source: node) }

    func count(_ kind: RequestKind, to target: NodeID? = nil) -> Int {
        calls.filter { $0.kind == kind && (target == nil || $0.target == target) }.count
    }

    private func call(from source: NodeID?, to target: NodeID, _ kind: RequestKind, _ message: Message, timeout: UInt64)
        async throws(TransportError) -> Message
    {
        await Task.yield()
        calls.append(Call(source: source, target: target, kind: kind))
        guard let handler = handlers[target], !cuts.contains(where: { $0.0 == source && $0.1 == target }) else {
            throw TransportError(.unreachable, "nobody listens")
        }
        switch behaviour[target] ?? .up {
        case .down:
            throw TransportError(.unreachable, "connection refused")
        case .hung:
            await clock.sleep(nanoseconds: timeout)
            throw TransportError(.noAnswer, "no answer")
        case .diesAnswering:
            _ = try await handler.handle(kind, message)
            behaviour[target] = .down
            throw TransportError(.noAnswer, "connection reset")
        case .slow(let delay):
            await clock.sleep(nanoseconds: min(delay, timeout))
            if delay >= timeout { throw TransportError(.noAnswer, "no answer") }
            return try await handler.handle(kind, message)
        case .up:
            return try await handler.handle(kind, message)
        }
    }

    @LoopActor
    private final class Client: RequestClient {
        let wire: TestWire
        let source: NodeID?

        init(wire: TestWire, source: NodeID?) {
            self.wire = wire
            self.source = source
        }

        func call(_ node: NodeID, _ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(TransportError) -> Message {
            try await wire.call(from: source, to: node, kind, message, timeout: timeout)
        }

        func channel(to node: NodeID, timeout: UInt64) async throws(TransportError) -> any Channel {
            throw TransportError(.unreachable, "this wire has no channels")
        }
    }
}
