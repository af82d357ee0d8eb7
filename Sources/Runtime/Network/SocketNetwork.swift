import CPosix
import CUV
import Glibc
package import Model
package import Telemetry

/// The real network: TLS 1.3 with certificates of the cluster's authority over TCP, peer credentials on Unix sockets.
@LoopActor
package final class SocketNetwork: Network {
    private let cluster: ClusterID?
    private let allowsAnonymous: Bool
    private let log: Log
    private var context: TLSContext?
    /// Incoming connections refused since the start.
    package private(set) var refusedCount: UInt64 = 0
    /// Why the last one was, as logged.
    package private(set) var lastRefusal: String?

    /// - Parameters:
    ///   - cluster: the only cluster whose members are accepted; nil, for a machine that joins, accepts any that the authority vouches for.
    ///   - allowsAnonymous: whether TCP listeners let in clients without a certificate (role `.anonymous`).
    /// - Throws: `.notAuthentic` if the certificates or the key cannot be used.
    package init(cluster: ClusterID?, identity: SocketIdentity, allowsAnonymous: Bool = false, log: Log) throws(NetworkError) {
        self.cluster = cluster
        self.allowsAnonymous = allowsAnonymous
        self.log = log
        context = try Self.context(identity)
        // OpenSSL writes to sockets with write(2), which raises it where the peer is gone.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Uses other certificates for connections made or accepted from now on.
    /// - Throws: `.notAuthentic` if they cannot be used; then the old ones stay.
    package func replace(_ identity: SocketIdentity) throws(NetworkError) { context = try Self.context(identity) }

    package func listen(at endpoint: Endpoint, accept: @escaping @LoopActor (any ByteStream) -> Void) throws(NetworkError) -> any Listener {
        let descriptor: Int32
        var bound = endpoint
        switch endpoint {
        case .tcp(let host, let port):
            guard let context, context.pin == nil else { throw NetworkError(.cannotListen, "\(endpoint): no certificate to listen with") }
            descriptor = try Self.listenTCP(host, port)
            bound = .tcp(host: host, port: UInt16(clamping: CPosix_local_port(descriptor)))
        case .unix(let path):
            descriptor = try Self.listenUnix(path)
        }
        return try SocketListener(descriptor: descriptor, endpoint: bound, log: log) { [weak self] descriptor, finished in
            guard let self else {
                close(descriptor)
                return finished()
            }
            admit(descriptor, endpoint, accept: accept, finished: finished)
        }
    }

    package func connect(to endpoint: Endpoint, expecting: NodeID?, timeout: UInt64) async throws(NetworkError) -> any ByteStream {
        let clock = SystemClock.shared
        let start = clock.now
        func remaining() throws(NetworkError) -> UInt64 {
            let passed = clock.now &- start
            guard passed < timeout else { throw NetworkError(.timedOut, "no answer from \(endpoint)") }
            return timeout - passed
        }
        switch endpoint {
        case .unix(let path):
            let descriptor = CPosix_stream_socket(AF_UNIX)
            guard descriptor >= 0 else { throw .system(.unreachable, "\(endpoint)") }
            CPosix_set_socket_buffers(descriptor, Self.unixBufferBytes)
            guard CPosix_connect_unix(descriptor, path) == 0 else {
                let error = NetworkError.system(.unreachable, "\(endpoint)")
                close(descriptor)
                throw error
            }
            return try await shakeHands(descriptor, nil, endpoint, expecting, timeout: remaining())
        case .tcp(let host, let port):
            guard let context else { throw NetworkError(.notAuthentic, "\(endpoint): no certificate to connect with") }
            let addresses = try await NameLookup.addresses(of: host, port: port, timeout: timeout)
            var last = NetworkError(.unreachable, "\(endpoint): no address")
            for address in addresses.entries {
                let descriptor = CPosix_stream_socket(address.pointee.ai_family)
                guard descriptor >= 0 else { throw .system(.unreachable, "\(endpoint)") }
                _ = CPosix_tune_tcp(descriptor, Self.silenceSeconds)
                guard Glibc.connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 || errno == EINPROGRESS else {
                    last = .system(.unreachable, "\(endpoint)")
                    close(descriptor)
                    continue
                }
                do throws(NetworkError) {
                    return try await shakeHands(descriptor, context, endpoint, expecting, timeout: remaining())
                } catch {
                    // Another address of the same name may work, unless this one answered and is somebody else.
                    last = error
                    if error.code != .unreachable { break }
                }
            }
            throw last
        }
    }

    private func shakeHands(
        _ descriptor: Int32, _ context: TLSContext?, _ endpoint: Endpoint, _ expecting: NodeID?, timeout: UInt64
    ) async throws(NetworkError) -> any ByteStream {
        let demands = Handshake.Demands(cluster: cluster, node: expecting)
        let result: Result<any ByteStream, NetworkError> = await withUnsafeContinuation { continuation in
            Handshake.start(
                descriptor, context: context, isServer: false, label: endpoint.description, demands: demands,
                timeout: min(timeout, Self.handshakeLimit)
            ) { _, result in continuation.resume(returning: result) }
        }
        return try result.mapError { error in
            NetworkError(error.code, error.cause.hasPrefix("\(endpoint)") ? error.cause : "\(endpoint): \(error.cause)")
        }.get()
    }

    private func admit(
        _ descriptor: Int32, _ endpoint: Endpoint, accept: @escaping @LoopActor (any ByteStream) -> Void,
        finished: @escaping @LoopActor () -> Void
    ) {
        var label = "unix"
        var tls: TLSContext?
        if case .tcp = endpoint {
            var text = [CChar](repeating: 0, count: 80)
            let named = CPosix_peer_address(descriptor, &text, text.count) == 0
            label = named ? text.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" } : "unknown"
            _ = CPosix_tune_tcp(descriptor, Self.silenceSeconds)
            tls = context
        } else {
            CPosix_set_socket_buffers(descriptor, Self.unixBufferBytes)
        }
        Handshake.start(
            descriptor, context: tls, isServer: true, label: label, demands: .init(cluster: cluster, allowsAnonymous: allowsAnonymous),
            timeout: Self.handshakeLimit
        ) { label, result in
            finished()
            switch result {
            case .success(let stream): accept(stream)
            case .failure(let error): self.refuse(label, error)
            }
        }
    }

    private func refuse(_ label: String, _ error: NetworkError) {
        refusedCount &+= 1
        lastRefusal = error.cause
        // Somebody who only looks whether the port is open has done nothing wrong.
        if error.code == .closed {
            log.debug("connection ended before it was authenticated", ["peer": label, "reason": error.cause])
        } else {
            log.warning("connection refused", ["peer": label, "reason": error.cause])
        }
    }

    private static func context(_ identity: SocketIdentity) throws(NetworkError) -> TLSContext? {
        switch identity {
        case .member(let material): try TLSContext(material)
        case .joining(let pin): try TLSContext(pin: pin)
        case .local: nil
        }
    }

    private static func listenTCP(_ host: String, _ port: UInt16) throws(NetworkError) -> Int32 {
        guard let addresses = NameLookup.now(host, port: port, flags: Int32(AI_PASSIVE)), let address = addresses.entries.first else {
            throw NetworkError(.cannotListen, "\(host) is not an address")
        }
        let descriptor = CPosix_stream_socket(address.pointee.ai_family)
        guard descriptor >= 0 else { throw .system(.cannotListen, "\(host):\(port)") }
        CPosix_tune_listener(descriptor, address.pointee.ai_family)
        guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0, Glibc.listen(descriptor, backlog) == 0 else {
            let error = NetworkError.system(.cannotListen, "\(host):\(port)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func listenUnix(_ path: String) throws(NetworkError) -> Int32 {
        try removeStale(path)
        let descriptor = CPosix_stream_socket(AF_UNIX)
        guard descriptor >= 0 else { throw .system(.cannotListen, path) }
        guard CPosix_bind_unix(descriptor, path) == 0, chmod(path, 0o600) == 0, Glibc.listen(descriptor, backlog) == 0 else {
            let error = NetworkError.system(.cannotListen, path)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Removes a socket that nobody listens on any more; one that is in use stays.
    private static func removeStale(_ path: String) throws(NetworkError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw NetworkError(.cannotListen, "\(path) exists and is not a socket") }
        let probe = CPosix_stream_socket(AF_UNIX)
        guard probe >= 0 else { throw .system(.cannotListen, path) }
        defer { close(probe) }
        if CPosix_connect_unix(probe, path) == 0 || errno == EAGAIN { throw NetworkError(.cannotListen, "\(path) is in use") }
        unlink(path)
    }

    private static let backlog: Int32 = 128
    private static let handshakeLimit = 10 * Nanoseconds.second
    /// A TCP peer that is silent for so long, with data or probes unanswered, is gone.
    private static let silenceSeconds: Int32 = 5
    private static let unixBufferBytes: Int32 = 4 << 20
}

extension NetworkError {
    /// The error of the system call that just failed on this thread.
    static func system(_ code: Code, _ subject: String) -> NetworkError {
        let number = errno
        return NetworkError(code, "\(subject): \(String(cString: strerror(number)))")
    }
}
