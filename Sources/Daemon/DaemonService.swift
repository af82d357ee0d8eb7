import BlockStore
import Blocks
import Bytes
import Consensus
import Credentials
import Digest
import Glibc
import Membership
import Metadata
import Model
import OrderedStore
import Ring
import RocksStore
package import Runtime
import Telemetry
import Transport
import Wire

/// One daemon: puts the services together over one environment, and takes them apart in order.
///
/// Order of start: lock, block store, metadata server, listeners. Whatever fails ends the start with one line, and nothing was promised to anybody
/// before. Order of stop: no new requests, leadership handed over, what is under way finished, stores closed.
@LoopActor
package final class DaemonService {
    package let directory: DataDirectory
    package let configuration: Configuration
    let address: NodeAddress
    let environment: Environment
    let log: Log
    let layouts: LayoutTable
    let connections: Connections
    let blockStore: BlockStore
    let blocks: BlockService
    let membership: MembershipDriver
    let metadata: MetadataServer
    let started: UInt64
    let program: String
    /// For records of the cluster; without a session, so without leases.
    let client: LeaderMetadataClient
    private let server: RequestServer
    private let router: RequestRouter
    private var isStopping = false
    private var upkeep: (any TimerHandle)?
    private var isReconciling = false
    private var isRegistering = false

    /// Starts everything; returns when requests are served.
    /// - Parameter program: name and version, for `status`.
    package static func start(_ directory: DataDirectory, _ configuration: Configuration, program: String) async throws(DaemonError) -> DaemonService {
        try directory.lock()
        let log = Log(component: "daemon", level: configuration.logLevel)
        let address = try configuration.nodeAddress(socketPath: directory.socketPath)
        let material = try directory.nodeMaterial()
        let network: SocketNetwork
        do throws(NetworkError) {
            network = try SocketNetwork(
                cluster: directory.cluster, identity: .member(material), allowsAnonymous: true, log: log.named("network"))
        } catch { throw DaemonError(.dataDirectory, error.cause) }
        let environment = Environment.system(network: network)
        let layouts = LayoutTable(try ClusterView.read(directory.viewPath))
        let store = try await openBlocks(directory, configuration, environment, log)
        let router = RequestRouter()
        let settings = ChannelSettings(
            identity: ChannelIdentity(cluster: directory.cluster, node: directory.node, role: .node, machine: address.machine),
            handler: { kind, message, channel throws(TransportError) in try await router.handle(kind, message, channel) }, log: log.named("transport"), unixRoles: [.administrator, .mount, .node])
        let connections = Connections(environment: environment, addresses: AddressBook(), settings: settings)
        let health = PeerHealth(clock: environment.clock)
        let resync: ResyncQueue
        do throws(StoreError) {
            resync = try ResyncQueue(
                store: try RocksStore(directory: directory.path + "/resync", durability: .logged), environment: environment, log: log.named("resync"))
        } catch { throw DaemonError(.dataDirectory, "the queue of owed copies cannot be opened: \(error.cause)") }
        let blocks = BlockService(
            node: directory.node, local: StoreBlocks(store), layouts: layouts,
            replicas: ReplicaClient(requests: connections, health: health, environment: environment), resync: resync, log: log.named("blocks"))
        let metadata = try await startMetadata(directory, environment, connections, blocks, log)
        let membership = MembershipDriver(
            node: directory.node, layouts: layouts, requests: connections, health: health, environment: environment, log: log.named("members"))
        let service = DaemonService(
            directory: directory, configuration: configuration, address: address, environment: environment, log: log, layouts: layouts,
            connections: connections, blockStore: store, blocks: blocks, membership: membership, metadata: metadata, router: router,
            server: RequestServer(environment: environment, settings: settings), program: program)
        try await service.open()
        return service
    }

    private static func openBlocks(
        _ directory: DataDirectory, _ configuration: Configuration, _ environment: Environment, _ log: Log
    ) async throws(DaemonError) -> BlockStore {
        var options = BlockStoreOptions(cluster: directory.cluster, node: directory.node)
        options.reserveBytes = UInt64(configuration.reserveMebibytes) << 20
        try LocalFile.makeDirectory(directory.path + "/blocks/segments")
        options.segmentBytes = segmentBytes(of: 256 << 20, on: directory, atLeast: 8 << 20)
        do throws(StoreError) {
            let index = try RocksStore(directory: directory.path + "/blocks/index")
            do throws(BlockStoreError) {
                return try await BlockStore.open(
                    environment: environment, directory: directory.path + "/blocks/segments", index: index, options: options, log: log.named("store"))
            } catch { throw StoreError(.failed, error.cause) }
        } catch { throw DaemonError(.dataDirectory, "the block store cannot be opened: \(error.cause)") }
    }

    /// Segments are reserved whole, so on a small disk they are smaller: at most a 64th of it.
    private static func segmentBytes(of usual: UInt64, on directory: DataDirectory, atLeast least: UInt64) -> UInt64 {
        var space = statvfs()
        guard statvfs(directory.path, &space) == 0 else { return usual }
        let total = UInt64(space.f_blocks) * UInt64(space.f_frsize)
        return max(least, min(usual, total / 64))
    }

    private static func startMetadata(
        _ directory: DataDirectory, _ environment: Environment, _ connections: Connections, _ blocks: BlockService, _ log: Log
    ) async throws(DaemonError) -> MetadataServer {
        var options = MetadataOptions(cluster: directory.cluster, node: directory.node, logDirectory: directory.path + "/raft")
        options.logSegmentBytes = segmentBytes(of: options.logSegmentBytes, on: directory, atLeast: 2 << 20)
        let isFounding = LocalFile.exists(directory.foundingPath)
        do throws(MetadataServerError) {
            let server = try await MetadataServer.start(
                options: options, environment: environment, requests: connections, stores: StateStores(directory: directory.path + "/meta"),
                bootstrap: isFounding, log: log.named("metadata")
            ) { keys in await blocks.deleteEverywhere(keys).isEmpty }
            // The group exists on disk now. A log that is lost later must not be founded again.
            if isFounding, unlink(directory.foundingPath) != 0 { log.warning("cannot remove \(directory.foundingPath)") }
            return server
        } catch { throw DaemonError(.dataDirectory, error.cause) }
    }

    private init(
        directory: DataDirectory, configuration: Configuration, address: NodeAddress, environment: Environment, log: Log, layouts: LayoutTable,
        connections: Connections, blockStore: BlockStore, blocks: BlockService, membership: MembershipDriver, metadata: MetadataServer,
        router: RequestRouter, server: RequestServer, program: String
    ) {
        self.directory = directory
        self.configuration = configuration
        self.address = address
        self.environment = environment
        self.log = log
        self.layouts = layouts
        self.connections = connections
        self.blockStore = blockStore
        self.blocks = blocks
        self.membership = membership
        self.metadata = metadata
        self.router = router
        self.server = server
        self.program = program
        var options = LeaderMetadataClient.Options(name: "node \(directory.node)")
        options.hasSession = false
        options.deadline = 10 * Nanoseconds.second
        client = LeaderMetadataClient(environment: environment, requests: connections, nodes: [], options: options, log: log.named("client"))
        started = environment.clock.now
    }

    /// Connects the services with each other and opens the doors.
    private func open() async throws(DaemonError) {
        router.daemon = self
        layouts.observe { [weak self] rings in self?.follow(rings) }
        metadata.onRecordsChanged = { [weak self] keys in
            if keys.contains(ClusterRecord.layout) { self?.adoptLocalLayout() }
        }
        metadata.hasEnded = { Self.hasEnded($0) }
        adoptLocalLayout()
        blocks.start()
        membership.start()
        do throws(NetworkError) {
            try server.listen(at: .unix(path: directory.socketPath))
            try server.listen(at: .tcp(host: configuration.listen.host, port: configuration.listen.port))
        } catch {
            throw DaemonError(.system, "cannot listen: \(error.cause)")
        }
        try LocalFile.write(Array("\(getpid())\n".utf8), to: directory.pidPath)
        log.info("serving", ["node": "\(directory.node)", "cluster": "\(directory.cluster)", "listen": "\(configuration.listen)"])
        keepUp()
        scheduleUpkeep()
    }

    /// A process of this machine, known by its number from the Unix socket's credentials, that is there no more. One whose number was given to another
    /// process meanwhile counts as living.
    private static func hasEnded(_ peer: Peer) -> Bool {
        guard peer.label.hasPrefix("unix:"), let process = pid_t(peer.label.dropFirst(5)), process > 0 else { return false }
        return kill(process, 0) != 0 && errno == ESRCH
    }

    /// Stops in order.
    package func stop() async {
        guard !isStopping else { return }
        isStopping = true
        log.info("stopping")
        upkeep?.cancel()
        await metadata.stop()
        membership.stop()
        await server.close(within: 5 * Nanoseconds.second)
        blocks.stop()
        connections.close(within: Nanoseconds.second)
        do throws(BlockStoreError) { try await blockStore.close() } catch { log.error("the block store did not close cleanly", ["cause": error.cause]) }
        unlink(directory.pidPath)
        log.info("stopped")
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
        do throws(DaemonError) { try ClusterView.write(rings.layouts, directory.viewPath) } catch { log.warning("\(error)") }
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
        let isMember = layouts.rings.layouts.current.member(directory.node)?.address == address
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
            let candidates = layouts.rings.layouts.current.members.map(\.node)
            let needed = candidates.first { !inGroup.contains($0) } ?? (group.voters.count < 3 ? group.learners.first : nil)
            guard let needed else { return }
            isReconciling = true
            Task { @LoopActor in
                do throws(MetadataServerError) {
                    try await self.metadata.addMember(needed, timeout: 30 * Nanoseconds.second)
                    self.log.info("taken into the metadata group", ["node": "\(needed)"])
                } catch { self.log.debug("not yet in the metadata group", ["node": "\(needed)", "cause": error.cause]) }
                self.isReconciling = false
            }
        }
    }

    /// Puts this node, as it is now, into the layout on record.
    private func register() async {
        let member = LayoutMember(node: directory.node, address: address, weight: configuration.weight, zone: configuration.zone)
        do throws(DaemonError) {
            try await LayoutChange.put(member, founding: layouts.rings.layouts, through: client)
        } catch { log.warning("not yet in the layout", ["cause": error.cause]) }
    }
}
