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

/// Daemons 1 ... N with their blocks in memory, one client, and a wire between them.
@LoopActor
final class TestCluster {
    @LoopActor
    final class Daemon {
        let node: NodeID
        let local = MemoryLocalBlocks()
        let layouts: LayoutTable
        let health: PeerHealth
        let queueStore = MemoryStore()
        let resync: ResyncQueue
        let service: BlockService

        init(_ node: NodeID, _ history: LayoutHistory, _ wire: TestWire, _ environment: Environment, _ log: Log) throws {
            self.node = node
            layouts = LayoutTable(history)
            health = PeerHealth(clock: environment.clock)
            resync = try ResyncQueue(store: queueStore, environment: environment, log: log)
            let replicas = ReplicaClient(requests: wire.client(of: node), health: health, environment: environment)
            service = BlockService(node: node, local: local, layouts: layouts, replicas: replicas, resync: resync, log: log)
            wire.serve(node) { [service] kind, message throws(TransportError) in try await service.handle(kind, message) }
            service.start()
        }
    }

    let world = MemoryWorld(seed: 3)
    let environment: Environment
    let wire: TestWire
    let daemons: [Daemon]
    let layouts: LayoutTable
    let health: PeerHealth
    let client: RingBlockClient
    let log = Log(component: "test", level: .error)

    var clock: VirtualClock { world.clock }

    init(members: Int, replicas: Int, configure: (inout BlockClientConfiguration) -> Void = { _ in }) throws {
        environment = world.node(99)
        wire = TestWire(clock: world.clock)
        let history = LayoutHistory(try RingTests.layout((1...UInt64(members)).map { $0 }, replicas: replicas))
        let (wire, environment, log) = (wire, environment, log)
        daemons = try (1...UInt64(members)).map { try Daemon(NodeID(rawValue: $0), history, wire, environment, log) }
        layouts = LayoutTable(history)
        health = PeerHealth(clock: world.clock)
        var configuration = BlockClientConfiguration()
        configure(&configuration)
        client = RingBlockClient(
            layouts: layouts, replicas: ReplicaClient(requests: wire.client(of: nil), health: health, environment: environment),
            environment: environment, configuration: configuration, log: log)
    }

    func daemon(_ node: NodeID) -> Daemon { daemons[Int(node.rawValue) - 1] }

    /// Who shall have the block, in ring order.
    func replicas(_ key: BlockKey) -> [Daemon] { layouts.current.successors(of: key).map { daemon($0) } }

    /// Who has it.
    func holders(_ key: BlockKey) -> Set<NodeID> { Set(daemons.filter { $0.local.blocks[key] != nil }.map(\.node)) }

    /// Moves time on from timer to timer until `body` has returned.
    func drive<Value: Sendable>(_ body: @escaping @LoopActor () async -> Value) async throws -> Value {
        let task = Task { @LoopActor in
            let value = await body()
            finished += 1
            return value
        }
        let target = started + 1
        started = target
        await settle()
        while finished < target {
            guard await clock.advanceToNextTimer() else { throw Stuck() }
        }
        return await task.value
    }

    private var started = 0
    private var finished = 0

    struct Stuck: Error {}

    func put(_ content: [UInt8]) async throws -> Result<BlockKey, BlocksError> {
        let slice = Slice(copying: content)
        return try await drive { [client] in
            do throws(BlocksError) { return .success(try await client.put(slice)) } catch { return .failure(error) }
        }
    }

    func get(_ key: BlockKey, length: Int, offset: Int = 0, count: Int? = nil) async throws -> Result<[UInt8], BlocksError> {
        try await drive { [client] in
            do throws(BlocksError) {
                return .success(try await client.get(key, length: length, offset: offset, count: count ?? length - offset).array)
            } catch {
                return .failure(error)
            }
        }
    }

    /// A block that is on its replicas already.
    func stored(_ content: [UInt8]) -> BlockKey {
        let key = SHA256.key(of: content)
        for daemon in replicas(key) { daemon.local.blocks[key] = content }
        return key
    }

    func bytes(_ count: Int) -> [UInt8] { world.random.bytes(count) }
}

/// Lets a test say what it expects of a result.
extension Result {
    var value: Success? { if case .success(let value) = self { value } else { nil } }
    var error: Failure? { if case .failure(let error) = self { error } else { nil } }
}
