package import BlockStore
package import Blocks
import Bytes
import Consensus
import Digest
import Membership
package import Metadata
import Model
import OrderedStore
package import Ring
package import Runtime
package import Telemetry
package import Transport
import Wire

/// The services of one daemon, put together over one environment and its stores. Knows no certificate, no lock file and no process: a real daemon
/// (`DaemonService`) and a simulated one run the same.
///
/// Order of start: block store, metadata server, then `open`. Whatever fails ends the start with one line, and nothing was promised to anybody before.
/// Order of stop: no new requests, leadership handed over, what is under way finished, stores closed.
@LoopActor
package final class NodeServices {
    package let settings: NodeSettings
    package let environment: Environment
    package let layouts: LayoutTable
    package let connections: Connections
    package let blockStore: BlockStore
    package let blocks: BlockService
    package let audit: ReplicaAudit
    let membership: MembershipDriver
    package let metadata: MetadataServer
    /// For records of the cluster; without a session, so without leases.
    package let client: LeaderMetadataClient
    /// Called when the layout has changed, and at the opening: for whoever keeps it beyond the process.
    package var onLayout: (@LoopActor (LayoutHistory) -> Void)?
    /// Answers requests to join; nil refuses them.
    package var admit: (@LoopActor (Transport.Message) async throws(TransportError) -> Transport.Message)?
    /// Answers requests for the status; nil, or an answer of nil, tells what `status` has.
    package var describe: (@LoopActor () async -> NodeStatus?)?
    let started: UInt64
    private let log: Log
    private let server: RequestServer
    private let router: RequestRouter
    private var isStopping = false
    private var upkeep: (any TimerHandle)?
    private var isReconciling = false
    private var isRegistering = false

    /// Opens the stores and starts the services; serves nobody before `open`.
    /// - Parameter layouts: what the node knows of the cluster, so that it finds the others.
    package static func start(
        _ settings: NodeSettings, _ stores: NodeStores, environment: Environment, layouts: LayoutTable, log: Log
    ) async throws(DaemonError) -> NodeServices {
        let store: BlockStore
        do throws(BlockStoreError) {
            store = try await BlockStore.open(
                environment: environment, directory: settings.segmentsDirectory, index: stores.blockIndex, options: settings.blocks,
                log: log.named("store"))
        } catch { throw DaemonError(.dataDirectory, "the block store cannot be opened: \(error.cause)") }
        let router = RequestRouter()
        let channels = ChannelSettings(
            identity: ChannelIdentity(cluster: settings.cluster, node: settings.node, role: .node, machine: settings.address.machine),
            handler: { kind, message, channel throws(TransportError) in try await router.handle(kind, message, channel) },
            log: log.named("transport"), unixRoles: [.administrator, .mount, .node])
        let connections = Connections(environment: environment, addresses: AddressBook(), settings: channels)
        let health = PeerHealth(clock: environment.clock)
        let resync: ResyncQueue
        do throws(StoreError) {
            resync = try ResyncQueue(store: stores.resync, environment: environment, log: log.named("resync"))
        } catch { throw DaemonError(.dataDirectory, "the queue of owed copies cannot be opened: \(error.cause)") }
        let blocks = BlockService(
            node: settings.node, local: StoreBlocks(store), layouts: layouts,
            replicas: ReplicaClient(requests: connections, health: health, environment: environment), resync: resync, log: log.named("blocks"))
        let metadata: MetadataServer
        do throws(MetadataServerError) {
            metadata = try await MetadataServer.start(
                options: settings.metadata, environment: environment, requests: connections, stores: stores.state,
                bootstrap: settings.isFounding, canRejoin: layouts.rings.layouts.current.members.contains { $0.node != settings.node },
                log: log.named("metadata")
            ) { keys in await blocks.deleteEverywhere(keys).isEmpty }
        } catch { throw DaemonError(.dataDirectory, error.cause) }
        let membership = MembershipDriver(
            node: settings.node, layouts: layouts, requests: connections, health: health, environment: environment, log: log.named("members"))
        return NodeServices(
            settings: settings, environment: environment, layouts: layouts, connections: connections, blockStore: store, blocks: blocks,
            membership: membership, metadata: metadata, router: router, server: RequestServer(environment: environment, settings: channels), log: log)
    }

    private init(
        settings: NodeSettings, environment: Environment, layouts: LayoutTable, connections: Connections, blockStore: BlockStore,
        blocks: BlockService, membership: MembershipDriver, metadata: MetadataServer, router: RequestRouter, server: RequestServer, log: Log
    ) {
        self.settings = settings
        self.environment = environment
        self.layouts = layouts
        self.connections = connections
        self.blockStore = blockStore
        self.blocks = blocks
        audit = ReplicaAudit(blocks, clock: environment.clock, options: settings.audit) { [metadata] in metadata.localReferences(after: $0, limit: $1) }
        self.membership = membership
        self.metadata = metadata
        self.router = router
        self.server = server
        self.log = log
        var options = LeaderMetadataClient.Options(name: "node \(settings.node)")
        options.hasSession = false
        options.deadline = 10 * Nanoseconds.second
        client = LeaderMetadataClient(environment: environment, requests: connections, nodes: [], options: options, log: log.named("client"))
        started = environment.clock.now
        client.onNoLeader = { [weak self] in
            guard let self, let known = await LayoutChange.known(to: self.connections.addresses.nodes, self.connections) else { return }
            self.layouts.adopt(known)
        }
    }

    /// Connects the services with each other and opens the doors.
    package func open(at endpoints: [Endpoint]) throws(DaemonError) {
        router.services = self
        layouts.observe { [weak self] rings in self?.follow(rings) }
        metadata.onRecordsChanged = { [weak self] keys in
            if keys.contains(ClusterRecord.layout) { self?.adoptLocalLayout() }
        }
        adoptLocalLayout()
        blocks.start()
        audit.start()
        membership.start()
        do throws(NetworkError) {
            for endpoint in endpoints { try server.listen(at: endpoint) }
        } catch {
            throw DaemonError(.system, "cannot listen: \(error.cause)")
        }
        keepUp()
        scheduleUpkeep()
    }

    /// Stops in order.
    package func stop() async {
        guard !isStopping else { return }
        isStopping = true
        upkeep?.cancel()
        await metadata.stop()
        membership.stop()
        await server.close(within: 5 * Nanoseconds.second)
        audit.stop()
        blocks.stop()
        connections.close(within: Nanoseconds.second)
        do throws(BlockStoreError) { try await blockStore.close() } catch { log.error("the block store did not close cleanly", ["cause": error.cause]) }
    }

    // MARK: Layout

    private func adoptLocalLayout() {
        guard let record = metadata.localRecord(ClusterRecord.layout), let history = try? LayoutHistory(decoding: record.value) else { return }
        layouts.adopt(history)
    }

    /// A layout is known: learn the addresses, and remember them for the next start.
    private func follow(_ rings: RingHistory) {
        connections.addresses.replaceAll(rings.layouts.addresses)
        client.nodes = connections.addresses.nodes
        onLayout?(rings.layouts)
    }

    // MARK: Upkeep

    private static let upkeepPeriod = 250 * Nanoseconds.millisecond

    private func scheduleUpkeep() {
        upkeep = environment.clock.schedule(after: Self.upkeepPeriod) { [weak self] in
            guard let self, !isStopping else { return }
            keepUp()
            scheduleUpkeep()
        }
    }

    /// Makes what should be true: the founding layout is on record, this node is in the layout under its present address, every member of the
    /// layout is in the metadata group.
    private func keepUp() {
        let isMember = layouts.rings.layouts.current.member(settings.node)?.address == settings.address
        let isOnRecord = metadata.localRecord(ClusterRecord.layout) != nil
        if !isRegistering, !isMember || (metadata.isServing && !isOnRecord) {
            isRegistering = true
            Task { @LoopActor in
                await self.register()
                self.isRegistering = false
            }
        }
        if metadata.isServing, !isReconciling {
            let group = metadata.members
            let inGroup = Set(group.voters + group.learners)
            if let newcomer = layouts.rings.layouts.current.members.first(where: { !inGroup.contains($0.node) })?.node {
                reconcile(newcomer, "taken into the metadata group") { metadata throws(MetadataServerError) in
                    try await metadata.addLearner(newcomer, timeout: 30 * Nanoseconds.second)
                }
            } else if let learner = metadata.learnerToPromote {
                reconcile(learner, "made a voter of the metadata group") { metadata throws(MetadataServerError) in
                    try await metadata.addMember(learner, timeout: Nanoseconds.second)
                }
            }
        }
    }

    /// One change of the metadata group at a time. Whatever fails is tried again by the upkeep, as it then sees the group.
    private func reconcile(
        _ node: NodeID, _ done: String, _ change: @escaping @LoopActor (MetadataServer) async throws(MetadataServerError) -> Void
    ) {
        isReconciling = true
        Task { @LoopActor in
            do throws(MetadataServerError) {
                try await change(self.metadata)
                self.log.info(done, ["node": "\(node)"])
            } catch { self.log.debug("the metadata group is not changed yet", ["node": "\(node)", "cause": error.cause]) }
            self.isReconciling = false
        }
    }

    /// Puts this node, as it is now, into the layout on record.
    private func register() async {
        let member = LayoutMember(node: settings.node, address: settings.address, weight: settings.weight, zone: settings.zone)
        do throws(DaemonError) {
            try await LayoutChange.put(member, founding: layouts.rings.layouts, through: client)
        } catch { log.warning("not yet in the layout", ["cause": error.cause]) }
    }
}
