import Blocks
import Bytes
import Daemon
import Filesystem
import Glibc
import Metadata
import Model
import Ring
import Runtime
import Telemetry
import Transport
import Wire

/// What a mount or a command needs to reach the cluster: connections with the machine's credentials, the layout, blocks, and sessions.
@LoopActor
final class ClientStack: Sendable {
    let cluster: ClusterID
    let configuration: Configuration
    let environment: Environment
    let layouts: LayoutTable
    let connections: Connections
    let replicas: ReplicaClient
    let blocks: RingBlockClient
    let log: Log
    private let router = RecallRouter()

    /// Reads credentials and layout; connects to nobody yet.
    /// - Parameters:
    ///   - isAdministrative: act with the rights of this machine's node, which only root can. The leader and the other nodes may be on other machines, where
    ///     the machine's certificate for mounts says no more than that somebody may use files.
    ///   - log: where warnings go; commands are quiet.
    init(_ settings: Settings, isAdministrative: Bool = false, log: Log = Log(component: "dhtfs", level: .error)) throws(DaemonError) {
        let directory = settings.directories[0]
        cluster = directory.cluster
        configuration = settings.configuration
        self.log = log
        let material = isAdministrative ? try directory.nodeMaterial() : try directory.mountMaterial()
        let network: SocketNetwork
        do throws(NetworkError) {
            network = try SocketNetwork(cluster: cluster, identity: .member(material), log: log.named("network"))
        } catch { throw DaemonError(.dataDirectory, error.cause) }
        environment = Environment.system(network: network)

        var newest = try ClusterView.read(directory.viewPath)
        for other in settings.directories.dropFirst() {
            if let view = try? ClusterView.read(other.viewPath), view.current.version > newest.current.version { newest = view }
        }
        layouts = LayoutTable(newest)
        let machine = settings.configuration.machine ?? Configuration.machineIdentifier()
        // On a Unix socket root's commands act as administrator; with the machine's certificate over TCP they are a mount.
        let role: Role = isAdministrative ? .node : getuid() == 0 ? .administrator : .mount
        let router = self.router
        let serve: RequestHandler = { kind, message, channel throws(TransportError) in try await router.handle(kind, message, channel) }
        let channelSettings = ChannelSettings(
            identity: ChannelIdentity(cluster: cluster, node: isAdministrative ? directory.node : nil, role: role, machine: machine),
            // Who acts as the node has no session, so nobody asks it for anything; with a handler it would serve the node's requests itself.
            handler: isAdministrative ? nil : serve, log: log.named("transport"), unixRoles: [.administrator, .mount, .node])
        connections = Connections(environment: environment, addresses: AddressBook(), settings: channelSettings)
        replicas = ReplicaClient(requests: connections, health: PeerHealth(clock: environment.clock), environment: environment)
        let layouts = self.layouts
        replicas.sharesDisk = { node in layouts.current.layout.member(node)?.address.machine == machine }
        var options = BlockClientConfiguration(ownNode: newest.current.members.first { $0.node == directory.node }?.node)
        options.deadline = UInt64(settings.configuration.deadlineSeconds) * Nanoseconds.second
        blocks = RingBlockClient(layouts: layouts, replicas: replicas, environment: environment, configuration: options, log: log.named("blocks"))
        layouts.observe { [weak self] rings in self?.follow(rings) }
    }

    private func follow(_ rings: RingHistory) {
        connections.addresses.replaceAll(rings.layouts.addresses)
    }

    /// Opens a session with the metadata service and learns the present layout.
    /// - Parameter name: for people: who has it.
    func openSession(name: String) async throws(DaemonError) -> LeaderMetadataClient {
        let client = metadataClient(name: name, hasSession: true)
        router.client = client
        try await adoptLayout(client)
        return client
    }

    /// The layout on record.
    func currentLayouts() async throws(DaemonError) -> LayoutHistory {
        try await adoptLayout(metadataClient(name: "command", hasSession: false))
        return layouts.rings.layouts
    }

    /// A client for cluster records, and for files if it has a session.
    func metadataClient(name: String, hasSession: Bool) -> LeaderMetadataClient {
        var options = LeaderMetadataClient.Options(name: name)
        options.hasSession = hasSession
        options.deadline = UInt64(configuration.deadlineSeconds) * Nanoseconds.second
        return LeaderMetadataClient(
            environment: environment, requests: connections, nodes: connections.addresses.nodes, options: options, log: log.named("session"))
    }

    private func adoptLayout(_ client: LeaderMetadataClient) async throws(DaemonError) {
        if let (history, _) = try await LayoutChange.current(client) { layouts.adopt(history) }
    }

    /// Follows changes of the layout for as long as the process lives.
    func followLayout(_ metadata: any MetadataClient) {
        _ = environment.clock.schedule(after: 5 * Nanoseconds.second) { [weak self] in
            guard let self else { return }
            Task { @LoopActor in
                if let (history, _) = try? await LayoutChange.current(metadata) { self.layouts.adopt(history) }
                self.followLayout(metadata)
            }
        }
    }

    func filesystem(_ metadata: any MetadataClient) -> DistributedFilesystem {
        var options = FilesystemOptions()
        options.cacheBytes = configuration.cacheMebibytes << 20
        options.dirtyBytes = min(configuration.dirtyMebibytes << 20, options.cacheBytes / 2)
        return DistributedFilesystem(
            metadata: metadata, blocks: blocks, environment: environment, options: options, log: log.named("files")
        ) { [weak self] in await self?.capacity() ?? (0, 0) }
    }

    private var knownCapacity: (total: UInt64, available: UInt64, at: UInt64)?

    /// Content that the cluster can hold and still take: the nodes' disks together, by the number of copies. Asked at most every two seconds.
    private func capacity() async -> (total: UInt64, available: UInt64) {
        if let known = knownCapacity, environment.clock.now - known.at < 2 * Nanoseconds.second { return (known.total, known.available) }
        let layout = layouts.rings.layouts.current
        var total: UInt64 = 0
        var available: UInt64 = 0
        let questions = layout.members.map { member in
            Task { @LoopActor () -> NodeStatus? in
                guard let reply = try? await self.connections.call(member.node, .status, Message(), timeout: Nanoseconds.second) else { return nil }
                return try? NodeStatus(decoding: reply.body)
            }
        }
        for question in questions {
            guard let status = await question.value else { continue }
            total += status.diskTotalBytes
            available += status.diskAvailableBytes
        }
        let copies = UInt64(max(1, layout.effectiveReplicas))
        knownCapacity = (total / copies, available / copies, environment.clock.now)
        return (total / copies, available / copies)
    }
}

/// Hands requests that daemons send to this process to its session.
@LoopActor
final class RecallRouter: Sendable {
    weak var client: LeaderMetadataClient?

    func handle(_ kind: RequestKind, _ message: Message, _ channel: any Channel) async throws(TransportError) -> Message {
        guard let client else { throw TransportError(.unavailable, "there is no session") }
        return try await client.handle(kind, message, channel)
    }
}
