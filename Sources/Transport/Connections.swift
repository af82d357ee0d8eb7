package import Model
package import Runtime
package import Wire

/// Channels to daemons, one each, made when needed. What a daemon asks on such a channel is served by the settings' handler.
@LoopActor
package final class Connections: RequestClient {
    private enum Link {
        case connecting(Attempt)
        case open(MessageChannel)
        /// The last attempt failed; until `retryAt` callers hear so at once.
        case failed(TransportError, retryAt: UInt64)
    }

    package let addresses: AddressBook
    private let network: any Network
    private let clock: any Clock
    private let settings: ChannelSettings
    private let loopback: LoopbackChannel?
    private var links: [NodeID: Link] = [:]
    private var isClosed = false

    package init(environment: Environment, addresses: AddressBook, settings: ChannelSettings) {
        self.addresses = addresses
        self.settings = settings
        network = environment.network
        clock = environment.clock
        if let node = settings.identity.node, let handler = settings.handler {
            loopback = LoopbackChannel(node: node, clock: environment.clock, handler: handler)
        } else {
            loopback = nil
        }
    }

    package func call(_ node: NodeID, _ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(TransportError) -> Message {
        if case .open(let channel) = links[node], channel.isOpen {
            return try await channel.call(kind, message, timeout: timeout)
        }
        let start = clock.now
        let channel = try await channel(to: node, timeout: timeout)
        let passed = clock.now &- start
        guard passed < timeout else { throw TransportError(.unreachable, "no connection to node \(node) in time") }
        return try await channel.call(kind, message, timeout: timeout - passed)
    }

    package func channel(to node: NodeID, timeout: UInt64) async throws(TransportError) -> any Channel {
        if let loopback, node == settings.identity.node { return loopback }
        if isClosed { throw TransportError(.unreachable, "this process is stopping") }
        switch links[node] {
        case .open(let channel) where channel.isOpen:
            return channel
        case .failed(let error, let retryAt) where clock.now < retryAt:
            throw error
        case .connecting(let attempt):
            return try await attempt.wait(clock: clock, timeout: timeout)
        default:
            guard let address = addresses[node] else { throw TransportError(.unreachable, "the address of node \(node) is not known") }
            let attempt = Attempt(node: node)
            links[node] = .connecting(attempt)
            Task { @LoopActor in await self.run(attempt, node, address) }
            return try await attempt.wait(clock: clock, timeout: timeout)
        }
    }

    /// Forgets a failed connect, so that the next request tries again at once; for when a daemon is known to be back or has moved.
    package func retryNow(_ node: NodeID) {
        if case .failed = links[node] { links[node] = nil }
    }

    /// Ends the channel to a daemon, for one that has left.
    package func disconnect(_ node: NodeID) {
        if case .open(let channel) = links[node] { channel.close() }
    }

    /// Lets what is under way finish for at most `limit` nanoseconds; makes no channels any more.
    package func close(within limit: UInt64) {
        isClosed = true
        for case .open(let channel) in links.values { channel.closeOrderly(within: limit) }
    }

    private func run(_ attempt: Attempt, _ node: NodeID, _ address: NodeAddress) async {
        let result: Result<MessageChannel, TransportError>
        do throws(TransportError) { result = .success(try await connect(node, address)) } catch { result = .failure(error) }
        switch result {
        case .success(let channel) where isClosed:
            channel.close()
            links[node] = nil
            attempt.finish(.failure(TransportError(.unreachable, "this process is stopping")))
        case .success(let channel):
            links[node] = .open(channel)
            channel.onClose { [weak self, weak channel] in
                guard let self, let channel, case .open(let current) = links[node], current === channel else { return }
                links[node] = nil
            }
            attempt.finish(.success(channel))
        case .failure(let error):
            links[node] = .failed(error, retryAt: clock.now &+ Self.failFast)
            attempt.finish(.failure(error))
        }
    }

    /// The Unix socket first, where it is this machine's and our role can be had there.
    private func connect(_ node: NodeID, _ address: NodeAddress) async throws(TransportError) -> MessageChannel {
        let tcp = Endpoint.tcp(host: address.host, port: address.port)
        let identity = settings.identity
        guard address.machine == identity.machine, !address.socketPath.isEmpty, settings.unixRoles.contains(identity.role) else {
            return try await connect(node, tcp)
        }
        do throws(TransportError) {
            return try await connect(node, .unix(path: address.socketPath))
        } catch {
            // In a container the socket's path may lead elsewhere or nowhere. Without a certificate TCP cannot work either, and the
            // first error says more.
            do throws(TransportError) { return try await connect(node, tcp) } catch let second {
                throw second.code == .notAuthentic ? error : second
            }
        }
    }

    private func connect(_ node: NodeID, _ endpoint: Endpoint) async throws(TransportError) -> MessageChannel {
        let stream: any ByteStream
        do throws(NetworkError) {
            stream = try await network.connect(to: endpoint, expecting: node, timeout: Self.connectLimit)
        } catch {
            throw TransportError(error)
        }
        let channel = MessageChannel(stream, clock: clock, settings: settings, isServer: false, expecting: node)
        try await channel.open(timeout: Self.connectLimit)
        return channel
    }

    /// For how long after a failed connect callers fail at once.
    private static let failFast = 200 * Nanoseconds.millisecond
    private static let connectLimit = 5 * Nanoseconds.second
}

extension TransportError {
    /// A connection that could not be made.
    package init(_ error: NetworkError) {
        self.init(error.code == .notAuthentic ? .notAuthentic : .unreachable, error.cause)
    }
}
