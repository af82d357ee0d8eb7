import Blocks
import Bytes
import Digest
import Membership
import Model
import Ring
import Runtime
import Testing
import TestSupport
import Transport
import Wire

@Suite @LoopActor struct BlockServiceTests {
    static let timeout = Nanoseconds.second

    /// What a tool of an administrator has.
    func tool(_ cluster: TestCluster) -> ReplicaClient {
        ReplicaClient(requests: cluster.wire.client(of: nil), health: cluster.health, environment: cluster.environment)
    }

    @Test func probeTellsLengths() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        let key = cluster.stored(cluster.bytes(123))
        let absent = SHA256.key(of: Array("absent".utf8))
        #expect(try await tool(cluster).probe([absent, key], on: NodeID(rawValue: 1), timeout: Self.timeout) == [0, 123])
    }

    @Test func listsAreInPages() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        let keys = (0..<10).map { _ in cluster.stored(cluster.bytes(10)) }.sorted()
        let tool = tool(cluster)
        var listed: [StoredBlock] = []
        while true {
            let page = try await tool.list(after: listed.last?.key, limit: 4, on: NodeID(rawValue: 1), timeout: Self.timeout)
            listed += page
            if page.count < 4 { break }
        }
        #expect(listed == keys.map { StoredBlock(key: $0, length: 10, isBad: false) })
        #expect(cluster.wire.count(.blockList) == 3)
    }

    @Test func checkBeginsNoRepair() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        let good = cluster.stored(cluster.bytes(10))
        let bad = cluster.stored(cluster.bytes(11))
        let local = cluster.daemons[0].local
        local.rotten.insert(bad)
        let absent = SHA256.key(of: Array("absent".utf8))
        let conditions = try await tool(cluster).check([good, bad, absent], on: NodeID(rawValue: 1), timeout: Self.timeout)
        #expect(conditions == [.good, .corrupt, .missing])
        #expect(local.quarantined.isEmpty && local.rotten == [bad])
        #expect(cluster.daemons[0].resync.status.length == 0)
    }

    @Test func pullReplacesABadCopyAndLeavesAGoodOne() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(1000)
        let key = cluster.stored(content)
        let (target, source) = (cluster.daemons[0], cluster.daemons[2])
        let tool = tool(cluster)
        try await tool.pull(key, to: target.node, from: [source.node], timeout: Self.timeout)
        #expect(cluster.wire.count(.blockGet) == 0)
        target.local.rotten.insert(key)
        try await tool.pull(key, to: target.node, from: [source.node], timeout: Self.timeout)
        #expect(target.local.blocks[key] == content && target.local.rotten.isEmpty)
        target.local.blocks = [:]
        source.local.rotten.insert(key)
        cluster.wire.calls = []
        try await tool.pull(key, to: target.node, from: [source.node, NodeID(rawValue: 2)], timeout: Self.timeout)
        #expect(target.local.blocks[key] == content)
        let asked = cluster.wire.calls.filter { $0.source == target.node && $0.kind == .blockGet }.map(\.target)
        #expect(asked == [source.node, NodeID(rawValue: 2)])
    }

    @Test func aBadCopyIsKeptUntilThereIsABetterOne() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let key = cluster.stored(cluster.bytes(1000))
        for daemon in cluster.daemons { daemon.local.rotten.insert(key) }
        let error = await #expect(throws: ReplicaError.self) {
            try await tool(cluster).pull(key, to: NodeID(rawValue: 1), from: [], timeout: Self.timeout)
        }
        #expect(error?.code == .failed(.missing))
        #expect(cluster.daemons[0].local.quarantined.isEmpty)
    }

    @Test func deletionIsConfirmedByEverybody() async throws {
        let cluster = try TestCluster(members: 5, replicas: 3)
        let keys = (0..<10).map { _ in cluster.stored(cluster.bytes(100)) }
        let service = cluster.daemons[0].service
        cluster.wire.behaviour[NodeID(rawValue: 3)] = .down
        #expect(await service.deleteEverywhere(keys) == [NodeID(rawValue: 3)])
        cluster.wire.behaviour[NodeID(rawValue: 3)] = .up
        #expect(await service.deleteEverywhere(keys) == [])
        #expect(cluster.daemons.allSatisfy { $0.local.blocks.isEmpty })
        #expect(cluster.wire.count(.blockDelete, to: NodeID(rawValue: 1)) == 0, "our own store is asked directly")
    }

    @Test func manyKeysAreDeletedInSeveralRequests() async throws {
        let cluster = try TestCluster(members: 2, replicas: 1)
        let keys = (0..<UInt64(5000)).map { BlockKey(words: ($0, 0, 0, 0)) }
        #expect(await cluster.daemons[0].service.deleteEverywhere(keys) == [])
        #expect(cluster.wire.count(.blockDelete, to: NodeID(rawValue: 2)) == 2)
    }

    @Test func malformedRequestsAreRefused() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        let service = cluster.daemons[0].service
        func code(_ kind: RequestKind, _ message: Message) async -> TransportError.Code? {
            do throws(TransportError) {
                _ = try await service.handle(kind, message)
                return nil
            } catch {
                return error.code
            }
        }
        for kind in BlockService.kinds { #expect(await code(kind, Message(body: [1])) == .malformed) }
        let key = SHA256.key(of: [1])
        let replicate = BlockReplicateRequest(key: key).encoded
        #expect(await code(.blockReplicate, Message(body: replicate)) == .malformed)
        #expect(await code(.blockReplicate, Message(body: replicate, payload: Slice(copying: []))) == .malformed)
        let large = Slice(buffer: BufferPool.shared.buffer(capacity: 8 << 20), offset: 0, count: (4 << 20) + 1)
        #expect(await code(.blockReplicate, Message(body: replicate, payload: large)) == .malformed)
        let many = BlockKeysRequest(keys: Array(repeating: key, count: 65)).encoded
        #expect(await code(.blockCheck, Message(body: many)) == .malformed)
        #expect(await code(.raft, Message()) == .malformed)
        service.stop()
        #expect(await code(.blockProbe, Message(body: BlockKeysRequest(keys: []).encoded)) == .unavailable)
    }

    @Test func aTaskForANodeThatIsNoLongerAReplicaIsDropped() async throws {
        let cluster = try TestCluster(members: 5, replicas: 1)
        let key = cluster.stored(cluster.bytes(10))
        let owner = cluster.replicas(key)[0]
        let stranger = try #require(cluster.daemons.first { $0.node != owner.node })
        owner.resync.enqueue(ResyncTask(node: stranger.node, key: key))
        await settle()
        #expect(owner.resync.status.length == 0)
        #expect(cluster.wire.calls.isEmpty)
    }

    @Test func deliveryAsksBeforeItSends() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let key = cluster.stored(cluster.bytes(10))
        cluster.daemons[0].resync.enqueue(ResyncTask(node: NodeID(rawValue: 2), key: key))
        await settle()
        #expect(cluster.wire.calls.map(\.kind) == [.blockProbe])
        cluster.daemons[1].local.blocks = [:]
        cluster.daemons[0].resync.enqueue(ResyncTask(node: NodeID(rawValue: 2), key: key))
        await settle()
        #expect(cluster.wire.calls.map(\.kind) == [.blockProbe, .blockProbe, .blockReplicate])
        #expect(cluster.holders(key).count == 3)
    }

    @Test func aDeletedBlockIsNotFetchedForEver() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        cluster.daemons[0].resync.enqueue(ResyncTask(node: NodeID(rawValue: 1), key: SHA256.key(of: [7])))
        await settle()
        #expect(cluster.daemons[0].resync.status.length == 0)
        // But while somebody is silent it may be there.
        cluster.wire.behaviour[NodeID(rawValue: 2)] = .down
        cluster.daemons[0].resync.enqueue(ResyncTask(node: NodeID(rawValue: 1), key: SHA256.key(of: [7])))
        await settle()
        #expect(cluster.daemons[0].resync.status.length == 1)
    }
}
