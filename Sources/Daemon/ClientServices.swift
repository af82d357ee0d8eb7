package import Blocks
import Bytes
package import Filesystem
package import Metadata
package import Model
package import Ring
package import Runtime
package import Telemetry
package import Transport
import Wire

/// What a mount or a command needs to reach the cluster, put together over one environment: connections, the layout, blocks, sessions and files.
/// Knows no certificate and no configuration file: a real client and a simulated one run the same.
@LoopActor
package final class ClientServices: Sendable {
    package let environment: Environment
    package let layouts: LayoutTable
    package let connections: Connections
    package let replicas: ReplicaClient
    package let blocks: RingBlockClient
    package let deadline: UInt64
    private let log: Log
    private let router = RecallRouter()
    /// Is told of nodes that join while the session lasts.
    private weak var session: LeaderMetadataClient?

    /// Connects to nobody yet.
    /// - Parameters:
    ///   - identity: as what the client greets daemons; with a node's id only for work that needs a node's rights and no session.
    ///   - known: the newest layout that is known; says where the daemons are.
    ///   - ownNode: the daemon of the client's own machine, if there is one.
    ///   - deadline: nanoseconds for which an operation tries before it fails.
    package init(
        identity: ChannelIdentity, environment: Environment, known: LayoutHistory, ownNode: NodeID?, deadline: UInt64, log: Log
    ) {
        self.environment = environment
        self.deadline = deadline
        self.log = log
        layouts = LayoutTable(known)
        let router = self.router
        let serve: RequestHandler = { kind, message, channel throws(TransportError) in try await router.handle(kind, message, channel) }
        let settings = ChannelSettings(
            // Who acts as the node has no session, so nobody asks it for anything; with a handler it would serve the node's requests itself.
            identity: identity, handler: identity.node == nil ? serve : nil, log: log.named("transport"), unixRoles: [.administrator, .mount, .node])
        connections = Connections(environment: environment, addresses: AddressBook(), settings: settings)
        replicas = ReplicaClient(requests: connections, health: PeerHealth(clock: environment.clock), environment: environment)
        let layouts = self.layouts
        replicas.sharesDisk = { node in layouts.current.layout.member(node)?.address.machine == identity.machine }
        var options = BlockClientConfiguration(ownNode: known.current.members.first { $0.node == ownNode }?.node)
        options.deadline = deadline
        blocks = RingBlockClient(layouts: layouts, replicas: replicas, environment: environment, configuration: options, log: log.named("blocks"))
        layouts.observe { [weak self] rings in self?.follow(rings) }
    }

    private func follow(_ rings: RingHistory) {
        connections.addresses.replaceAll(rings.layouts.addresses)
        session?.nodes = connections.addresses.nodes
    }

    /// Opens a session with the metadata service and learns the present layout.
    /// - Parameter name: for people: who has it.
    package func openSession(name: String) async throws(DaemonError) -> LeaderMetadataClient {
        let client = metadataClient(name: name, hasSession: true)
        router.client = client
        session = client
        blocks.refreshLayout = { [weak self, client] in try? await self?.adoptLayout(client) }
        try await adoptLayout(client)
        return client
    }

    /// The layout on record.
    package func currentLayouts() async throws(DaemonError) -> LayoutHistory {
        try await adoptLayout(metadataClient(name: "command", hasSession: false))
        return layouts.rings.layouts
    }

    /// A client for cluster records, and for files if it has a session.
    package func metadataClient(name: String, hasSession: Bool) -> LeaderMetadataClient {
        var options = LeaderMetadataClient.Options(name: name)
        options.hasSession = hasSession
        options.deadline = deadline
        let client = LeaderMetadataClient(
            environment: environment, requests: connections, nodes: connections.addresses.nodes, options: options, log: log.named("session"))
        client.onNoLeader = { [weak self, weak client] in
            guard let self, let known = await LayoutChange.known(to: connections.addresses.nodes, connections) else { return }
            layouts.adopt(known)
            client?.nodes = connections.addresses.nodes
        }
        return client
    }

    private func adoptLayout(_ client: LeaderMetadataClient) async throws(DaemonError) {
        if let (history, _) = try await LayoutChange.current(client) { layouts.adopt(history) }
    }

    /// Follows changes of the layout for as long as the process lives.
    package func followLayout(_ metadata: any MetadataClient) {
        _ = environment.clock.schedule(after: 5 * Nanoseconds.second) { [weak self] in
            guard let self else { return }
            Task { @LoopActor in
                if let (history, _) = try? await LayoutChange.current(metadata) { self.layouts.adopt(history) }
                self.followLayout(metadata)
            }
        }
    }

    /// Files over a session.
    package func filesystem(_ metadata: any MetadataClient, _ options: FilesystemOptions) -> DistributedFilesystem {
        DistributedFilesystem(
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
private final class RecallRouter: Sendable {
    weak var client: LeaderMetadataClient?

    func handle(_ kind: RequestKind, _ message: Message, _ channel: any Channel) async throws(TransportError) -> Message {
        guard let client else { throw TransportError(.unavailable, "there is no session") }
        return try await client.handle(kind, message, channel)
    }
}
