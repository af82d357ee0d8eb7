import Digest
import Metadata
import Model
import Namespace
import Runtime
import Telemetry
import TestSupport
import Transport
import Wire

/// A metadata group and its clients in a world in memory, on a clock that only the test moves.
@LoopActor
final class TestGroup {
    /// One daemon: its disk and stores outlive its servers.
    @LoopActor
    final class Node {
        let id: NodeID
        let disk = MemoryDisk()
        var media = StateMedia()
        var stores: SimulatedStateStores?
        var server: MetadataServer?
        var listener: RequestServer?
        var connections: Connections?

        init(_ number: UInt64) { id = NodeID(rawValue: number) }

        var name: String { "node\(id.rawValue)" }

        /// Somebody removed the files of the state.
        func loseState() {
            media = StateMedia()
            disk.wipe("/data/meta")
        }
    }

    struct GaveUp: Error {}

    let world: MemoryWorld
    let nodes: [Node]
    let addresses = AddressBook()
    var adjust: (inout MetadataOptions) -> Void
    private var clients: [String: LeaderMetadataClient] = [:]
    var deleted: [BlockKey] = []
    /// Called with the name of a client between the moment when its command was carried out and the answer.
    var beforeAnswer: (@LoopActor (String) async -> Void)?
    /// The same for requests about locks.
    var beforeLockAnswer: (@LoopActor (String) async -> Void)?
    /// Whether a server may begin without its log.
    var canRejoin = true

    init(_ count: UInt64, seed: UInt64 = 1, adjust: @escaping (inout MetadataOptions) -> Void = { _ in }) {
        world = MemoryWorld(seed: seed)
        nodes = (1...count).map { Node($0) }
        self.adjust = adjust
        for node in nodes {
            addresses[node.id] = NodeAddress(host: node.name, port: 7000, machine: node.name, socketPath: "")
        }
    }

    private static let log = Log(component: "test", level: .error)
    private static let cluster = ClusterID(rawValue: 77)

    /// Starts every node and joins them into one group.
    func start() async throws {
        try await run {
            for node in self.nodes { try await self.start(node, bootstrap: node === self.nodes.first) }
            for node in self.nodes.dropFirst() {
                let leader = try await self.leader()
                try await leader.server?.addMember(node.id, timeout: 60 * Nanoseconds.second)
            }
        }
    }

    func start(_ node: Node, bootstrap: Bool = false) async throws {
        let environment = world.node(node.id.rawValue, disk: node.disk)
        let settings = ChannelSettings(
            identity: ChannelIdentity(cluster: Self.cluster, node: node.id, role: .node, machine: node.name),
            handler: { [weak node, weak self] kind, message, channel throws(TransportError) in
                guard let server = node?.server else { throw TransportError(.unavailable, "not started") }
                let reply = try await server.handle(kind, message, channel)
                if kind == .metadataCommand, let hook = self?.beforeAnswer { await hook(channel.peer.label) }
                if kind == .metadataLock, let hook = self?.beforeLockAnswer { await hook(channel.peer.label) }
                return reply
            }, log: Self.log)
        let connections = Connections(environment: environment, addresses: addresses, settings: settings)
        let listener = RequestServer(environment: environment, settings: settings)
        var options = MetadataOptions(cluster: Self.cluster, node: node.id, logDirectory: "/data/raft")
        options.logSegmentBytes = 64 << 10
        adjust(&options)
        let stores = SimulatedStateStores(media: node.media, disk: environment.disk, directory: "/data/meta")
        node.stores = stores
        node.server = try await MetadataServer.start(
            options: options, environment: environment, requests: connections, stores: stores, bootstrap: bootstrap, canRejoin: canRejoin, log: Self.log
        ) { [weak self] keys in
            self?.deleted += keys
            return true
        }
        node.connections = connections
        node.listener = listener
        try listener.listen(at: .tcp(host: node.name, port: 7000))
    }

    /// Power loss of one machine.
    func kill(_ node: Node) {
        node.server?.abandon()
        node.server = nil
        node.connections?.close(within: 0)
        world.fabric.crash(node.name)
        node.disk.crash()
        node.media.crash(.power)
        node.stores = nil
    }

    /// The node that leads and serves; waits for it.
    func leader() async throws -> Node {
        try await wait { self.nodes.contains { $0.server?.isServing ?? false } }
        guard let node = nodes.first(where: { $0.server?.isServing ?? false }) else { throw GaveUp() }
        return node
    }

    /// Waits in virtual time; only within `run`.
    func wait(_ condition: () -> Bool) async throws {
        for _ in 0..<5000 {
            if condition() { return }
            await world.clock.sleep(nanoseconds: 10 * Nanoseconds.millisecond)
        }
        throw GaveUp()
    }

    func client(_ name: String, hasSession: Bool = true, role: Role = .mount, deadline: UInt64 = 60 * Nanoseconds.second) -> LeaderMetadataClient {
        let environment = world.environment(name, as: Peer(role: role, node: nil, label: name), disk: MemoryDisk())
        let settings = ChannelSettings(
            identity: ChannelIdentity(cluster: Self.cluster, node: nil, role: role, machine: name),
            handler: { [weak self] kind, message, channel throws(TransportError) in
                guard let client = self?.clients[name] else { throw TransportError(.unavailable, "not started") }
                return try await client.handle(kind, message, channel)
            }, log: Self.log)
        let connections = Connections(environment: environment, addresses: addresses, settings: settings)
        var options = LeaderMetadataClient.Options(name: name)
        options.hasSession = hasSession
        options.deadline = deadline
        let client = LeaderMetadataClient(
            environment: environment, requests: connections, nodes: nodes.map(\.id), options: options, log: Self.log)
        clients[name] = client
        return client
    }

    /// Runs `body` to its end and moves the clock whenever nothing else is to be done.
    @discardableResult
    func run<Value: Sendable>(_ body: @escaping @LoopActor () async throws -> Value) async throws -> Value {
        var result: Result<Value, any Error>?
        Task { @LoopActor in
            do { result = .success(try await body()) } catch { result = .failure(error) }
        }
        for _ in 0..<6000 {
            for _ in 0..<20 where result == nil { await Task.yield() }
            if let result { return try result.get() }
            _ = await world.clock.advanceToNextTimer()
        }
        throw GaveUp()
    }
}

extension MetadataClient {
    func create(_ name: String, in parent: InodeID = .root, kind: FileKind = .file) async throws -> Outcome {
        try await perform(
            .create(
                parent: parent, name: Name(name) ?? Name([1])!, kind: kind, mode: 0o644, umask: 0, uid: 1, gid: 1, device: 0, target: []))
    }

    func lookup(_ name: String, in parent: InodeID = .root) async throws -> Attributes? {
        guard case .found(let attributes, _) = try await query(.lookup(parent: parent, name: Name(name) ?? Name([1])!)).answer else { return nil }
        return attributes
    }
}

extension Outcome {
    var attributes: Attributes? {
        if case .done(let attributes, _) = self { attributes } else { nil }
    }
}
