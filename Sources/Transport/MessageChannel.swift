import Bytes
package import Model
package import Runtime
package import Wire
import Telemetry

/// A channel over a byte stream.
///
/// Flow control: each side has at most `requestsMax` requests and `payloadBytesMax` bytes of their payloads unanswered; callers wait in order. The
/// other side holds the peer to that. Requests are not started while more than `payloadBytesMax` bytes of replies wait to be sent.
@LoopActor
package final class MessageChannel: Channel {
    /// Requests of one side that may be unanswered.
    package static let requestsMax = 256
    /// Bytes of payload of one side's requests that may be unanswered.
    package static let payloadBytesMax = 64 << 20
    /// Callers that may wait for credit; more are refused.
    package static let waitersMax = 8192

    private enum Stage {
        case greeting
        case open
        /// One side said goodbye: what is under way is finished, nothing new begins.
        case draining
        case closed
    }

    package private(set) var peer: Peer
    private let stream: any ByteStream
    private let clock: any Clock
    private let settings: ChannelSettings
    private let isServer: Bool
    private let expecting: NodeID?
    private let sender: FrameSender
    private let receiver: FrameReceiver
    private var stage = Stage.greeting
    private var flushQueued = false
    private var closeHandlers: [@LoopActor () -> Void] = []
    private var opened: UnsafeContinuation<Result<Void, TransportError>, Never>?
    private var openError: TransportError?

    // Our requests.
    private var nextRequest: UInt64 = 1
    private var pending: [UInt64: PendingCall] = [:]
    private var pendingPayloadBytes = 0
    private var waiting = Fifo<PendingCall>()

    // The peer's requests.
    private var servedCount = 0
    private var servedPayloadBytes = 0
    private var unstarted = Fifo<FrameReceiver.Frame>()

    /// A channel that has yet to be opened.
    /// - Parameter expecting: the daemon that must answer; nil accepts any that the stream has proven.
    package init(_ stream: any ByteStream, clock: any Clock, settings: ChannelSettings, isServer: Bool, expecting: NodeID? = nil) {
        self.stream = stream
        self.clock = clock
        self.settings = settings
        self.isServer = isServer
        self.expecting = expecting
        peer = stream.peer
        sender = FrameSender(stream)
        receiver = FrameReceiver(stream)
    }

    package var isOpen: Bool { stage == .open }

    /// Exchanges greetings with the other side.
    /// - Parameter timeout: nanoseconds.
    /// - Throws: `.unreachable`, `.notAuthentic`, `.malformed` (another protocol or version), or what the other side gave as its reason. The
    ///   channel is closed then.
    package func open(timeout: UInt64) async throws(TransportError) {
        // The stream holds the channel until it is closed: a channel that drains has no other owner once its successor is open, and a
        // stream that nobody reads would be readable for ever.
        stream.onReadable = { self.receive() }
        stream.onWritable = { self.flush() }
        if !isServer { sendHello() }
        let limit = clock.schedule(after: timeout) { [weak self] in
            self?.close(TransportError(.unreachable, "\(self?.peer.label ?? "the peer") does not answer the greeting"))
        }
        let result: Result<Void, TransportError> = await withUnsafeContinuation { continuation in
            switch stage {
            case .greeting: opened = continuation
            case .open, .draining: continuation.resume(returning: .success(()))
            case .closed: continuation.resume(returning: .failure(openError ?? TransportError(.unreachable, "the channel is closed")))
            }
        }
        limit.cancel()
        try result.get()
    }

    package func call(_ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(TransportError) -> Message {
        guard stage == .open else { throw TransportError(.unreachable, "the channel to \(peer.label) is closed") }
        guard message.body.count <= FrameHeader.bodyMax, (message.payload?.count ?? 0) <= FrameHeader.payloadMax else {
            throw TransportError(.malformed, "a request of \(message.body.count) + \(message.payload?.count ?? 0) bytes is too large")
        }
        guard waiting.count < Self.waitersMax else {
            throw TransportError(.unavailable, "too many requests wait for \(peer.label)")
        }
        let result: Result<Message, TransportError> = await withUnsafeContinuation { continuation in
            let call = PendingCall(id: nextRequest, kind: kind, message: message, continuation: continuation)
            nextRequest += 1
            call.limit = clock.schedule(after: timeout) { [weak self] in self?.expire(call, after: timeout) }
            waiting.append(call)
            sendWaiting()
        }
        return try result.get()
    }

    package func onClose(_ body: @escaping @LoopActor () -> Void) {
        if stage == .closed { body() } else { closeHandlers.append(body) }
    }

    /// Ends the channel now. What is under way fails.
    package func close() { close(TransportError(.unreachable, "the channel was closed")) }

    /// Lets the other side finish, and finishes, what is under way; begins nothing new; closes.
    /// - Parameter limit: nanoseconds after which it closes all the same.
    package func closeOrderly(within limit: UInt64) {
        guard stage == .open else { return close() }
        stage = .draining
        let reason = WireFailure(code: TransportError.Code.unavailable.rawValue, cause: "going away")
        sender.enqueue(.goodbye, body: reason.encoded)
        flushLater()
        refuseWaiting()
        _ = clock.schedule(after: limit) { [weak self] in self?.close() }
        closeIfDrained()
    }

    // MARK: Greeting

    private func sendHello() {
        let identity = settings.identity
        let hello = Hello(cluster: identity.cluster ?? ClusterID(rawValue: 0), node: identity.node, role: identity.role)
        sender.enqueue(.hello, body: hello.encoded)
        flushLater()
    }

    private func receiveHello(_ frame: FrameReceiver.Frame) {
        let hello: Hello
        do throws(DecodeError) { hello = try Hello(decoding: frame.body) } catch {
            return refuse(.malformed, "this side speaks protocol version \(Hello.currentVersion), the other: \(error)")
        }
        if let cluster = settings.identity.cluster, peer.role != .anonymous, hello.cluster != cluster {
            return refuse(.notAuthentic, "belongs to cluster \(hello.cluster), not to \(cluster)")
        }
        if isServer && peer.role == .administrator {
            // On a Unix socket the user is proven, and chooses what to be.
            guard settings.unixRoles.contains(hello.role) else { return refuse(.denied, "may not be \(hello.role) on a Unix socket") }
            peer.role = hello.role
            peer.node = hello.role == .node ? hello.node : nil
        } else if peer.role == .node {
            guard let node = hello.node, peer.node ?? node == node, expecting ?? node == node else {
                let expected = expecting ?? peer.node
                return refuse(
                    .notAuthentic,
                    "is node \(hello.node.map(\.description) ?? "unknown"), not \(expected.map(\.description) ?? "a daemon")")
            }
            peer.node = node
        }
        if isServer { sendHello() }
        stage = .open
        receiver.bodyMax = peer.role == .anonymous ? FrameHeader.anonymousBodyMax : FrameHeader.bodyMax
        receiver.payloadMax = peer.role == .anonymous ? 0 : FrameHeader.payloadMax
        opened?.resume(returning: .success(()))
        opened = nil
    }

    /// Tells the other side why before ending a greeting.
    private func refuse(_ code: TransportError.Code, _ cause: String) {
        settings.log.warning("channel refused", ["peer": peer.label, "reason": cause])
        sender.enqueue(.goodbye, body: WireFailure(code: code.rawValue, cause: cause).encoded)
        _ = sender.flush()
        close(TransportError(code, "\(peer.label) \(cause)"))
    }

    // MARK: Receiving

    private func receive() {
        var frames = 0
        let start = receiver.receivedTotal
        // Bounded, so that one busy peer does not hold up the others; the stream calls again.
        while stage != .closed, frames < Self.framesPerTurn, receiver.receivedTotal - start < Self.bytesPerTurn {
            switch receiver.next() {
            case .frame(let frame):
                frames += 1
                handle(frame)
            case .wouldBlock:
                return
            case .ended:
                return close(TransportError(.unreachable, "\(peer.label) closed the connection"))
            case .nonsense(let reason):
                settings.log.warning("protocol error, closing", ["peer": peer.label, "reason": reason])
                return close(TransportError(.malformed, "\(peer.label) does not keep to the protocol: \(reason)"))
            }
        }
    }

    private func handle(_ frame: FrameReceiver.Frame) {
        switch (frame.header.type, stage) {
        case (.hello, .greeting): receiveHello(frame)
        case (.goodbye, _): receiveGoodbye(frame)
        case (.request, .open), (.request, .draining): receiveRequest(frame)
        case (.reply, .open), (.reply, .draining), (.error, .open), (.error, .draining): receiveAnswer(frame)
        default: protocolError("\(frame.header.type) out of order")
        }
    }

    private func protocolError(_ reason: String) {
        settings.log.warning("protocol error, closing", ["peer": peer.label, "reason": reason])
        close(TransportError(.malformed, "\(peer.label) does not keep to the protocol: \(reason)"))
    }

    private func receiveGoodbye(_ frame: FrameReceiver.Frame) {
        guard let failure = try? WireFailure(decoding: frame.body) else { return protocolError("goodbye") }
        let code = TransportError.Code(rawValue: failure.code) ?? .unavailable
        if stage == .greeting { return close(TransportError(code, "\(peer.label) refuses: \(failure.cause)")) }
        stage = .draining
        refuseWaiting()
        closeIfDrained()
    }

    private func receiveRequest(_ frame: FrameReceiver.Frame) {
        servedCount += 1
        servedPayloadBytes += frame.header.payloadLength
        guard servedCount <= Self.requestsMax, servedPayloadBytes <= Self.payloadBytesMax else {
            return protocolError("more requests than the window allows")
        }
        unstarted.append(frame)
        startRequests()
    }

    private func receiveAnswer(_ frame: FrameReceiver.Frame) {
        guard let call = pending.removeValue(forKey: frame.header.request) else { return protocolError("answer to no request") }
        pendingPayloadBytes -= call.payloadBytes
        if frame.header.type == .reply {
            call.finish(.success(Message(body: frame.body, payload: frame.payload)))
        } else if let failure = try? WireFailure(decoding: frame.body) {
            let code = TransportError.Code(rawValue: failure.code) ?? .failed
            call.finish(.failure(TransportError(code, failure.cause, detail: failure.detail)))
        } else {
            call.finish(.failure(TransportError(.noAnswer, "\(peer.label) sent an error that cannot be decoded")))
            return protocolError("error frame")
        }
        sendWaiting()
        closeIfDrained()
    }

    // MARK: Serving

    private func startRequests() {
        while stage == .open || stage == .draining, sender.queuedBytes <= UInt64(Self.payloadBytesMax), let frame = unstarted.popFirst() {
            if let refusal = refusal(of: frame) {
                answer(frame, .failure(refusal))
                continue
            }
            Task { @LoopActor in await self.serve(frame) }
        }
    }

    private func refusal(of frame: FrameReceiver.Frame) -> TransportError? {
        guard let kind = RequestKind(rawValue: frame.header.kind) else {
            return TransportError(.malformed, "unknown request \(frame.header.kind)")
        }
        guard kind.allowed.contains(peer.role) else {
            settings.countDenial(peer, kind)
            return TransportError(.denied, "\(kind) is not allowed to \(peer.role)")
        }
        if settings.handler == nil { return TransportError(.unavailable, "this process serves no requests") }
        return stage == .open ? nil : TransportError(.unavailable, "going away")
    }

    private func serve(_ frame: FrameReceiver.Frame) async {
        guard let kind = RequestKind(rawValue: frame.header.kind), let handler = settings.handler else { return }
        let result: Result<Message, TransportError>
        do throws(TransportError) {
            result = .success(try await handler(kind, Message(body: frame.body, payload: frame.payload), self))
        } catch {
            result = .failure(error)
        }
        answer(frame, result)
        startRequests()
    }

    private func answer(_ frame: FrameReceiver.Frame, _ result: Result<Message, TransportError>) {
        servedCount -= 1
        servedPayloadBytes -= frame.header.payloadLength
        guard stage != .closed else { return }
        let id = frame.header.request
        switch result {
        case .success(let message):
            if message.body.count <= FrameHeader.bodyMax, (message.payload?.count ?? 0) <= FrameHeader.payloadMax {
                sender.enqueue(.reply, request: id, body: message.body, payload: message.payload)
            } else {
                settings.log.error("reply is too large", ["request": "\(frame.header.kind)", "bytes": "\(message.body.count)"])
                sender.enqueue(
                    .error, request: id,
                    body: WireFailure(code: TransportError.Code.failed.rawValue, cause: "the reply is too large").encoded)
            }
        case .failure(let error):
            sender.enqueue(
                .error, request: id, body: WireFailure(code: error.code.rawValue, cause: error.cause, detail: error.detail).encoded)
        }
        flushLater()
    }

    // MARK: Calling

    private func sendWaiting() {
        guard stage == .open else { return refuseWaiting() }
        while let call = waiting.first {
            guard call.isWaiting else {
                waiting.popFirst()
                continue
            }
            guard pending.count < Self.requestsMax, pendingPayloadBytes + call.payloadBytes <= Self.payloadBytesMax,
                let message = call.message
            else { return }
            waiting.popFirst()
            call.message = nil
            call.startsAt = sender.enqueuedTotal
            pending[call.id] = call
            pendingPayloadBytes += call.payloadBytes
            sender.enqueue(.request, kind: call.kind.rawValue, request: call.id, body: message.body, payload: message.payload)
            flushLater()
        }
    }

    private func expire(_ call: PendingCall, after timeout: UInt64) {
        let milliseconds = timeout / Nanoseconds.millisecond
        if call.startsAt == nil {
            call.finish(.failure(TransportError(.unreachable, "\(peer.label) took no request for \(milliseconds) ms")))
        } else {
            call.finish(.failure(TransportError(.noAnswer, "\(peer.label) did not answer \(call.kind) within \(milliseconds) ms")))
        }
        closeIfDrained()
    }

    private func refuseWaiting() {
        while let call = waiting.popFirst() {
            call.finish(.failure(TransportError(.unreachable, "the channel to \(peer.label) is closing")))
        }
    }

    // MARK: Sending and ending

    /// Sends at the end of this round of jobs, with whatever else is queued until then.
    private func flushLater() {
        guard !flushQueued else { return }
        flushQueued = true
        Task { @LoopActor in
            self.flushQueued = false
            self.flush()
        }
    }

    private func flush() {
        guard stage != .closed else { return }
        guard sender.flush() else { return close(TransportError(.unreachable, "the connection to \(peer.label) broke")) }
        startRequests()
        closeIfDrained()
    }

    private func closeIfDrained() {
        guard stage == .draining, servedCount == 0, sender.isEmpty, !pending.values.contains(where: \.isWaiting) else { return }
        close()
    }

    private func close(_ reason: TransportError) {
        guard stage != .closed else { return }
        stage = .closed
        openError = reason
        stream.close()
        unstarted.removeAll()
        opened?.resume(returning: .failure(reason))
        opened = nil
        refuseWaiting()
        // In the order in which they were sent, as replies would have come.
        for call in pending.values.sorted(by: { $0.id < $1.id }) {
            let wasWritten = call.startsAt.map { $0 < sender.writtenTotal } ?? false
            call.finish(.failure(TransportError(wasWritten ? .noAnswer : .unreachable, reason.cause)))
        }
        pending.removeAll()
        sender.removeAll()
        let handlers = closeHandlers
        closeHandlers = []
        for handler in handlers { handler() }
    }

    private static let framesPerTurn = 256
    private static let bytesPerTurn: UInt64 = 8 << 20
}
