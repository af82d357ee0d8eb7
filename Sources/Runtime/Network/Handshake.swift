import CPosix
import Glibc
import Model

/// Brings a socket from connecting or accepting to an authenticated stream, without waiting on the loop.
///
/// In TLS 1.3 a client is done before the server has looked at its certificate. So that a refused client learns it here and not
/// from its first request, the server says one byte when it is content, on Unix sockets too.
@LoopActor
final class Handshake {
    /// What the other end has to be.
    struct Demands {
        /// nil accepts any cluster that the authority vouches for.
        var cluster: ClusterID?
        var node: NodeID?
        var allowsAnonymous = false
    }

    private enum Stage {
        case connecting, tls, greeting, done
    }

    private let descriptor: Int32
    private let poll: PollHandle
    private let tls: TLSSession?
    private let isServer: Bool
    private let demands: Demands
    private var label: String
    private var peer: Peer?
    private var stage: Stage
    private var heardFrom = false
    private var limit: (any TimerHandle)?
    private let completion: @LoopActor (String, Result<any ByteStream, NetworkError>) -> Void

    /// Starts at once and calls `completion` once, with the other end's name for logs. Takes over the descriptor.
    /// - Parameters:
    ///   - context: nil for a Unix socket.
    ///   - timeout: nanoseconds.
    static func start(
        _ descriptor: Int32, context: TLSContext?, isServer: Bool, label: String, demands: Demands, timeout: UInt64,
        completion: @escaping @LoopActor (String, Result<any ByteStream, NetworkError>) -> Void
    ) {
        let side: TLSSession.Side = isServer ? .server(certificateRequired: !demands.allowsAnonymous) : .client
        var tls: TLSSession?
        if let context {
            tls = TLSSession(context, descriptor: descriptor, side: side)
            if tls == nil {
                close(descriptor)
                completion(label, .failure(NetworkError(.closed, "OpenSSL has no memory for a session")))
                return
            }
        }
        guard let poll = PollHandle(descriptor) else {
            close(descriptor)
            completion(label, .failure(NetworkError(.closed, "the socket cannot be watched")))
            return
        }
        let handshake = Handshake(
            descriptor: descriptor, poll: poll, tls: tls, isServer: isServer, label: label, demands: demands, completion: completion)
        // The poll handle keeps the handshake until it is done.
        poll.onEvent = { _, _ in handshake.advance() }
        handshake.limit = SystemClock.shared.schedule(after: timeout) { [weak handshake] in
            handshake?.fail(.timedOut, "no answer within \(timeout / Nanoseconds.millisecond) ms")
        }
        if isServer { handshake.advance() } else { poll.watch(reads: false, writes: true) }
    }

    private init(
        descriptor: Int32, poll: PollHandle, tls: TLSSession?, isServer: Bool, label: String, demands: Demands,
        completion: @escaping @LoopActor (String, Result<any ByteStream, NetworkError>) -> Void
    ) {
        self.descriptor = descriptor
        self.poll = poll
        self.tls = tls
        self.isServer = isServer
        self.label = label
        self.demands = demands
        self.completion = completion
        stage = isServer ? .tls : .connecting
    }

    private func advance() {
        switch stage {
        case .connecting:
            let error = CPosix_socket_error(descriptor)
            guard error == 0 else { return fail(.unreachable, "\(label): \(String(cString: strerror(error)))") }
            stage = .tls
            advance()
        case .tls:
            if tls == nil { checkCredentials() } else { advanceTLS() }
        case .greeting:
            if isServer { sendGreeting() } else { awaitGreeting() }
        case .done:
            break
        }
    }

    private func advanceTLS() {
        guard let tls else { return }
        if !heardFrom {
            var first: UInt8 = 0
            let count = retryingInterrupts { recv(descriptor, &first, 1, Int32(MSG_PEEK)) }
            if count > 0 {
                heardFrom = true
                // Alert and handshake are the records that may come first (RFC 8446 §5.1).
                guard first == 0x15 || first == 0x16 else { return fail(.notAuthentic, "not TLS") }
            } else if count == 0 {
                return fail(.closed, "the connection ended before the handshake")
            } else if isServer {
                guard errno == EAGAIN else { return fail(.closed, "the connection ended before the handshake") }
                return poll.watch(reads: true, writes: false)
            }
        }
        switch tls.handshake() {
        case .needsReading: poll.watch(reads: true, writes: false)
        case .needsWriting: poll.watch(reads: false, writes: true)
        case .failed(let reason): fail(.notAuthentic, reason)
        case .done: checkCertificate(tls)
        }
    }

    private func checkCertificate(_ tls: TLSSession) {
        let identity: CertificateIdentity?
        do throws(NetworkError) { identity = try tls.peerIdentity() } catch { return fail(error.code, error.cause) }
        guard let identity else {
            peer = Peer(role: .anonymous, node: nil, label: label)
            return greet()
        }
        if let cluster = demands.cluster, identity.cluster != cluster {
            return fail(.notAuthentic, "belongs to cluster \(identity.cluster), not to \(cluster)")
        }
        switch identity.subject {
        case .node(let node):
            if let expected = demands.node, node != expected {
                return fail(.notAuthentic, "is node \(node), not \(expected)")
            }
            peer = Peer(role: .node, node: node, label: label)
        case .mount:
            guard isServer else { return fail(.notAuthentic, "is a mount, not a daemon") }
            peer = Peer(role: .mount, node: nil, label: label)
        }
        greet()
    }

    private func checkCredentials() {
        var user: UInt32 = 0
        var group: UInt32 = 0
        var process: Int32 = 0
        guard CPosix_peer_credentials(descriptor, &user, &group, &process) == 0 else {
            return fail(.closed, "the connection ended before the handshake")
        }
        if isServer { label = "unix:\(process)" }
        // Who has our own user id could read our private key, or be us in any other way.
        guard user == 0 || user == geteuid() else { return fail(.notAuthentic, "user \(user) may not use this socket") }
        peer = isServer ? Peer(role: .administrator, node: nil, label: label) : Peer(role: .node, node: demands.node, label: label)
        greet()
    }

    private func greet() {
        stage = .greeting
        advance()
    }

    private func sendGreeting() {
        let sent = withUnsafeBytes(of: Self.greeting) { bytes -> Int? in
            if let tls { return tls.write([bytes]) }
            let count = retryingInterrupts { send(descriptor, bytes.baseAddress, 1, Int32(MSG_NOSIGNAL)) }
            return count >= 0 ? count : errno == EAGAIN ? 0 : nil
        }
        switch sent {
        case nil: fail(.closed, "the connection ended during the handshake")
        case 0: poll.watch(reads: false, writes: true)
        default: succeed()
        }
    }

    private func awaitGreeting() {
        var byte: UInt8 = 0
        let outcome = withUnsafeMutableBytes(of: &byte) { target -> StreamReadOutcome in
            if let tls { return tls.read(into: target) }
            let count = retryingInterrupts { recv(descriptor, target.baseAddress, 1, 0) }
            return count > 0 ? .bytes(1) : count < 0 && errno == EAGAIN ? .wouldBlock : .ended
        }
        switch outcome {
        case .wouldBlock:
            poll.watch(reads: true, writes: false)
        case .ended:
            fail(.notAuthentic, tls?.failure ?? "refused by the other side, whose log says why")
        case .bytes:
            guard byte == Self.greeting else { return fail(.notAuthentic, "does not speak this protocol") }
            succeed()
        }
    }

    private func succeed() {
        guard stage != .done, let peer else { return }
        stage = .done
        limit?.cancel()
        // The stream replaces the handler, and with it the reference that kept this object.
        completion(label, .success(SocketStream(descriptor: descriptor, poll: poll, tls: tls, peer: peer)))
    }

    private func fail(_ code: NetworkError.Code, _ cause: String) {
        guard stage != .done else { return }
        stage = .done
        limit?.cancel()
        tls?.close()
        poll.close()
        close(descriptor)
        completion(label, .failure(NetworkError(code, cause)))
    }

    private static let greeting: UInt8 = 0xD5
}
