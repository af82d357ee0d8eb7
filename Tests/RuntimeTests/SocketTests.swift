import Bytes
import Glibc
import Model
import Runtime
import Telemetry
import TestSupport
import Testing
import Transport
import Wire

/// Real sockets, real certificates. One after the other, since making certificates with the openssl program holds up the loop on which the others
/// wait with a limit.
@Suite(.serialized) @LoopActor struct SocketTests {
    static let cluster = ClusterID(rawValue: 0xC1)

    /// A daemon that echoes, on TCP and on a Unix socket.
    @LoopActor
    final class Daemon {
        let network: SocketNetwork
        let server: RequestServer
        let tcp: Endpoint
        let unix: Endpoint
        private let directory: TemporaryDirectory

        init(_ material: TLSMaterial, id: UInt64 = 1, allowsAnonymous: Bool = false, handler: @escaping RequestHandler = echo) throws {
            directory = try TemporaryDirectory()
            network = try SocketNetwork(cluster: cluster, identity: .member(material), allowsAnonymous: allowsAnonymous, log: quiet)
            let settings = ChannelSettings(
                identity: ChannelIdentity(cluster: cluster, node: NodeID(rawValue: id), role: .node, machine: "here"), handler: handler, log: quiet)
            server = RequestServer(environment: TestEnvironment.real(network: network), settings: settings)
            tcp = try server.listen(at: .tcp(host: "127.0.0.1", port: 0))
            unix = try server.listen(at: .unix(path: directory.file("socket")))
        }

        var address: NodeAddress {
            guard case .tcp(let host, let port) = tcp, case .unix(let path) = unix else { return NodeAddress(host: "", port: 0, machine: "", socketPath: "") }
            return NodeAddress(host: host, port: port, machine: "here", socketPath: path)
        }

        var port: UInt16 { address.port }
    }

    static func client(_ identity: SocketIdentity, role: Role, node: UInt64? = nil, machine: String, to daemon: Daemon) throws -> Connections {
        let network = try SocketNetwork(cluster: identity.isJoining ? nil : cluster, identity: identity, log: quiet)
        let settings = ChannelSettings(
            identity: ChannelIdentity(cluster: cluster, node: node.map { NodeID(rawValue: $0) }, role: role, machine: machine), handler: nil, log: quiet)
        return Connections(
            environment: TestEnvironment.real(network: network), addresses: AddressBook([NodeID(rawValue: 1): daemon.address]), settings: settings)
    }

    @Test func daemonsTalkOverTLS() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1))
        let client = try Self.client(.member(try authority.node(2)), role: .node, node: 2, machine: "elsewhere", to: daemon)
        let payload = pattern(4 << 20)
        for _ in 0..<3 {
            let reply = try await client.call(
                NodeID(rawValue: 1), .blockPut, Message("hello", payload: payload), timeout: Nanoseconds.minute)
            let same = reply.payload?.array == payload.array
            #expect(same)
        }
        #expect(daemon.server.channels.first?.peer.role == .node)
        #expect(daemon.server.channels.first?.peer.node == NodeID(rawValue: 2))
        let calls = (0..<200).map { number in
            Task { @LoopActor in
                try await client.call(
                    NodeID(rawValue: 1), .blockPut, Message("\(number)", payload: pattern(number * 997)), timeout: Nanoseconds.minute)
            }
        }
        for (number, call) in calls.enumerated() {
            let reply = try await call.value
            let same = reply.payload?.array ?? [] == pattern(number * 997).array
            #expect(same && reply.text == "\(number)")
        }
        #expect(daemon.server.channels.count == 1)
        await daemon.server.close(within: Nanoseconds.second)
    }

    @Test func mountTalksOverUnixSocket() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1))
        let client = try Self.client(.local, role: .mount, machine: "here", to: daemon)
        let payload = pattern(4 << 20)
        let reply = try await client.call(NodeID(rawValue: 1), .blockPut, Message(payload: payload), timeout: Nanoseconds.minute)
        let same = reply.payload?.array == payload.array
        #expect(same)
        #expect(daemon.server.channels.first?.peer.role == .mount)
        let denied = await #expect(throws: TransportError.self) {
            try await client.call(NodeID(rawValue: 1), .raft, Message(), timeout: Nanoseconds.minute)
        }
        #expect(denied?.code == .denied)
    }

    @Test func unixPeerMayNotBeADaemon() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1))
        let network = try SocketNetwork(cluster: Self.cluster, identity: .local, log: quiet)
        let stream = try await network.connect(to: daemon.unix, expecting: nil, timeout: Nanoseconds.minute)
        let settings = ChannelSettings(
            identity: ChannelIdentity(cluster: Self.cluster, node: NodeID(rawValue: 9), role: .node, machine: "here"), handler: nil, log: quiet)
        let channel = MessageChannel(stream, clock: SystemClock.shared, settings: settings, isServer: false)
        let error = await #expect(throws: TransportError.self) { try await channel.open(timeout: Nanoseconds.minute) }
        #expect(error?.code == .denied)
    }

    private func refusal(of identity: SocketIdentity, role: Role = .node, by daemon: Daemon) async throws -> TransportError? {
        let client = try Self.client(identity, role: role, node: role == .node ? 2 : nil, machine: "elsewhere", to: daemon)
        do throws(TransportError) {
            _ = try await client.call(NodeID(rawValue: 1), .probe, Message(), timeout: Nanoseconds.minute)
            return nil
        } catch {
            return error
        }
    }

    @Test func strangersAreRefused() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1))
        // Another authority for the client; for its part it does not trust the daemon either.
        let other = try await refusal(of: .member(try TestAuthority().node(2)), by: daemon)
        #expect(other?.code == .notAuthentic)
        #expect(other?.cause.contains("certificate of an authority that is not this cluster's") == true, "\(other?.cause ?? "")")
        // The client trusts the daemon but has a certificate of somebody else.
        var mixed = try TestAuthority().node(2)
        mixed.authority = try authority.node(2).authority
        let stranger = try await refusal(of: .member(mixed), by: daemon)
        #expect(stranger?.code == .notAuthentic)
        #expect(daemon.network.lastRefusal == "certificate of an authority that is not this cluster's")
        let expired = try await refusal(of: .member(try authority.node(2, days: 0)), by: daemon)
        #expect(expired?.code == .notAuthentic)
        #expect(daemon.network.lastRefusal == "certificate has expired")
        let elsewhere = try await refusal(
            of: .member(try authority.material(uri: "dhtfs://cluster/00000000000000c2/node/0000000000000002")), by: daemon)
        #expect(elsewhere?.code == .notAuthentic)
        #expect(daemon.network.lastRefusal == "belongs to cluster 00000000000000c2, not to 00000000000000c1")
        let nameless = try await refusal(of: .member(try authority.material(uri: "https://example.org/")), by: daemon)
        #expect(nameless?.code == .notAuthentic)
        #expect(daemon.network.lastRefusal == "the certificate names no member of a cluster")
        let anonymous = try await refusal(of: .joining(pin: try authority.pin()), role: .anonymous, by: daemon)
        #expect(anonymous?.code == .notAuthentic)
        #expect(daemon.network.refusedCount == 6)
        // Nobody else is disturbed.
        #expect(try await refusal(of: .member(try authority.node(2)), by: daemon) == nil)
    }

    @Test func wrongDaemonIsNotAccepted() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(7), id: 7)
        let error = try await refusal(of: .member(try authority.node(2)), by: daemon)
        #expect(error?.code == .notAuthentic)
        #expect(error?.cause.contains("is node 0000000000000007, not 0000000000000001") == true, "\(error?.cause ?? "")")
    }

    @Test func garbageIsRefusedInOneLine() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1))
        for (number, text) in ["GET / HTTP/1.1\r\n\r\n", "\u{16}garbage that is no handshake at all", "\0\0\0\0"].enumerated() {
            try await knock(on: daemon.port, saying: text)
            #expect(daemon.network.refusedCount == UInt64(number + 1))
            if number != 1 { #expect(daemon.network.lastRefusal == "not TLS") }
        }
        #expect(try await refusal(of: .member(try authority.node(2)), by: daemon) == nil)
    }

    /// Says something to a port and waits, on a worker thread, until the other side hangs up.
    private func knock(on port: UInt16, saying text: String) async throws {
        let workers = WorkerThreads(count: 1, name: "knock")
        let said = await workers.run { () -> Bool in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let connected = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
            guard connected == 0, send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL)) > 0 else { return false }
            var byte: [UInt8] = [0]
            while recv(descriptor, &byte, 1, 0) > 0 {}
            return true
        }
        #expect(said)
    }

    @Test func machineJoinsByPin() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1), allowsAnonymous: true)
        let client = try Self.client(.joining(pin: try authority.pin()), role: .anonymous, machine: "elsewhere", to: daemon)
        #expect(try await client.call(NodeID(rawValue: 1), .join, Message("token"), timeout: Nanoseconds.minute).text == "token")
        let denied = await #expect(throws: TransportError.self) {
            try await client.call(NodeID(rawValue: 1), .status, Message(), timeout: Nanoseconds.minute)
        }
        #expect(denied?.code == .denied)
        let wrong = try await refusal(of: .joining(pin: [UInt8](repeating: 1, count: 32)), role: .anonymous, by: daemon)
        #expect(wrong?.code == .notAuthentic)
    }

    @Test func certificatesAreReplacedWhileRunning() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1, days: 0))
        let before = try await refusal(of: .member(try authority.node(2)), by: daemon)
        #expect(before?.cause.contains("certificate has expired") == true, "\(before?.cause ?? "")")
        try daemon.network.replace(.member(try authority.node(1)))
        #expect(try await refusal(of: .member(try authority.node(2)), by: daemon) == nil)
    }

    @Test func nobodyThere() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1))
        await daemon.server.close(within: 0)
        let error = try await refusal(of: .member(try authority.node(2)), by: daemon)
        #expect(error?.code == .unreachable)
    }

    @Test func socketInUse() async throws {
        let authority = try TestAuthority()
        let daemon = try Daemon(try authority.node(1))
        #expect(throws: NetworkError.self) { try daemon.network.listen(at: daemon.tcp) { _ in } }
        #expect(throws: NetworkError.self) { try daemon.network.listen(at: daemon.unix) { _ in } }
    }
}

extension SocketIdentity {
    var isJoining: Bool { if case .joining = self { true } else { false } }
}
