import BlockStore
import Blocks
import Bytes
import Digest
import Membership
import Model
import OrderedStore
import Ring
import Runtime
import Telemetry
import TestSupport
import Transport
import Wire

/// Daemons with real block stores on disks in memory, failure detectors, and connections over a network in memory; and one mount's client.
@LoopActor
final class StoreCluster {
    static let cluster = ClusterID(rawValue: 5)

    @LoopActor
    final class Daemon {
        let node: NodeID
        let disk: MemoryDisk
        let index: MemoryStore
        let queueStore: MemoryStore
        let store: BlockStore
        let health: PeerHealth
        let resync: ResyncQueue
        let service: BlockService
        let driver: MembershipDriver
        let server: RequestServer
        let connections: Connections

        init(
            _ node: NodeID, _ world: MemoryWorld, _ history: LayoutHistory, disk: MemoryDisk, index: MemoryStore, queueStore: MemoryStore
        ) async throws {
            self.node = node
            self.disk = disk
            self.index = index
            self.queueStore = queueStore
            let log = Log(component: "node\(node.rawValue)", level: .error)
            let environment = world.node(node.rawValue, disk: disk)
            store = try await BlockStore.open(
                environment: environment, directory: "/blocks", index: index,
                options: BlockStoreOptions(cluster: StoreCluster.cluster, node: node, segmentBytes: 1 << 20, reserveBytes: 0), log: log)
            let layouts = LayoutTable(history)
            let addresses = AddressBook(Dictionary(uniqueKeysWithValues: history.current.members.map { ($0.node, $0.address) }))
            let dispatch = Dispatch()
            let settings = ChannelSettings(
                identity: ChannelIdentity(cluster: StoreCluster.cluster, node: node, role: .node, machine: "m\(node.rawValue)"),
                handler: { kind, message, channel async throws(TransportError) -> Message in
                    try await dispatch.handle(kind, message, channel)
                }, log: log)
            connections = Connections(environment: environment, addresses: addresses, settings: settings)
            health = PeerHealth(clock: world.clock)
            resync = try ResyncQueue(store: queueStore, environment: environment, log: log)
            service = BlockService(
                node: node, local: StoreBlocks(store), layouts: layouts,
                replicas: ReplicaClient(requests: connections, health: health, environment: environment), resync: resync, log: log)
            driver = MembershipDriver(
                node: node, layouts: layouts, requests: connections, health: health, environment: environment, log: log)
            dispatch.service = service
            dispatch.driver = driver
            server = RequestServer(environment: environment, settings: settings)
            try server.listen(at: .tcp(host: "host\(node.rawValue)", port: 7000))
            service.start()
            driver.start()
        }

        /// The end of the process; power is lost, too.
        func crash(_ world: MemoryWorld) async {
            world.fabric.crash("node\(node.rawValue)")
            driver.stop()
            service.stop()
            connections.close(within: 0)
            await server.close(within: 0)
            disk.crash()
            index.crash()
        }
    }

    @LoopActor
    final class Dispatch {
        var service: BlockService?
        var driver: MembershipDriver?

        func handle(_ kind: RequestKind, _ message: Message, _ channel: any Channel) async throws(TransportError) -> Message {
            guard let service, let driver else { throw TransportError(.unavailable, "starting") }
            if let peer = channel.peer.node { driver.heard(peer) }
            return kind == .probe ? try await driver.handle(message) : try await service.handle(kind, message)
        }
    }

    let world: MemoryWorld
    let history: LayoutHistory
    var daemons: [Daemon] = []
    let client: RingBlockClient
    let tool: ReplicaClient

    init(_ count: Int, seed: UInt64) async throws {
        world = MemoryWorld(seed: seed)
        history = LayoutHistory(try RingTests.layout((1...UInt64(count)).map { $0 }))
        let environment = world.environment("mount", as: Peer(role: .administrator, node: nil, label: "mount"), disk: MemoryDisk())
        let addresses = AddressBook(Dictionary(uniqueKeysWithValues: history.current.members.map { ($0.node, $0.address) }))
        let log = Log(component: "mount", level: .error)
        let settings = ChannelSettings(
            identity: ChannelIdentity(cluster: Self.cluster, node: nil, role: .administrator, machine: "m"), handler: nil, log: log)
        let health = PeerHealth(clock: world.clock)
        tool = ReplicaClient(
            requests: Connections(environment: environment, addresses: addresses, settings: settings), health: health,
            environment: environment)
        client = RingBlockClient(
            layouts: LayoutTable(history), replicas: tool, environment: environment,
            configuration: BlockClientConfiguration(ownNode: NodeID(rawValue: 1)), log: log)
        for number in 1...UInt64(count) { daemons.append(try await start(NodeID(rawValue: number))) }
    }

    private func start(_ node: NodeID, after dead: Daemon? = nil) async throws -> Daemon {
        let (world, history) = (world, history)
        let disk = dead?.disk ?? MemoryDisk()
        let index = dead?.index ?? MemoryStore()
        let queueStore = dead?.queueStore ?? MemoryStore()
        return try await Daemon(node, world, history, disk: disk, index: index, queueStore: queueStore)
    }

    func restart(_ position: Int) async throws { daemons[position] = try await start(daemons[position].node, after: daemons[position]) }

    func stop() async {
        for daemon in daemons { await daemon.crash(world) }
    }

    /// Moves time on until `body` has returned.
    func drive<Value: Sendable>(_ body: @escaping @LoopActor () async throws -> Value) async throws -> Value {
        var isFinished = false
        let task = Task { @LoopActor in
            defer { isFinished = true }
            return try await body()
        }
        await settle()
        while !isFinished, await world.clock.advanceToNextTimer() {}
        return try await task.value
    }
}
