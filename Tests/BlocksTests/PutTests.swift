import Blocks
import Bytes
import Digest
import Membership
import Model
import OrderedStore
import Ring
import Runtime
import Testing
import TestSupport
import Transport
import Wire

@Suite @LoopActor struct PutTests {
    @Test(arguments: [(1, 1), (1, 3), (2, 3), (3, 3), (5, 3), (5, 1)])
    func aBlockGoesToItsReplicasAndNowhereElse(members: Int, replicas: Int) async throws {
        let cluster = try TestCluster(members: members, replicas: replicas)
        for size in [1, 4096, 100_000] {
            let content = cluster.bytes(size)
            let key = try #require(try await cluster.put(content).value)
            #expect(key == SHA256.key(of: content))
            await settle()
            let expected = cluster.layouts.current.successors(of: key)
            #expect(expected.count == min(members, replicas))
            #expect(cluster.holders(key) == Set(expected))
            for node in expected { #expect(cluster.daemon(node).local.blocks[key] == content) }
            #expect(try await cluster.get(key, length: size).value == content)
        }
        #expect(cluster.daemons.allSatisfy { $0.resync.status.length == 0 })
    }

    @Test func oneRequestToTheCoordinatorAndOneToEachOtherReplica() async throws {
        let cluster = try TestCluster(members: 5, replicas: 3)
        let key = try #require(try await cluster.put(cluster.bytes(1 << 20)).value)
        await settle()
        let first = cluster.layouts.current.successors(of: key)[0]
        #expect(cluster.wire.count(.blockPut) == 1)
        #expect(cluster.wire.count(.blockPut, to: first) == 1)
        #expect(cluster.wire.count(.blockReplicate) == 2)
    }

    @Test func thePayloadIsNeverCopied() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = Slice(copying: cluster.bytes(1 << 20))
        let client = cluster.client
        _ = try await cluster.drive { try? await client.put(content) }
        await settle()
        let address = content.withBytes { $0.baseAddress }
        #expect(cluster.daemons.map(\.local.putAddresses) == [[address], [address], [address]])
    }

    @Test func ourOwnDaemonCoordinatesIfItIsAReplica() async throws {
        let own = NodeID(rawValue: 2)
        let cluster = try TestCluster(members: 5, replicas: 3) { $0.ownNode = own }
        for _ in 0..<20 {
            cluster.wire.calls = []
            let key = try #require(try await cluster.put(cluster.bytes(100)).value)
            let replicas = cluster.layouts.current.successors(of: key)
            #expect(cluster.wire.count(.blockPut, to: replicas.contains(own) ? own : replicas[0]) == 1)
            #expect(cluster.wire.count(.blockPut) == 1)
        }
    }

    @Test(arguments: [TestWire.Behaviour.down, .hung])
    func oneReplicaMayBeDead(behaviour: TestWire.Behaviour) async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(5000)
        let key = SHA256.key(of: content)
        let replicas = cluster.replicas(key)
        cluster.wire.behaviour[replicas[2].node] = behaviour
        #expect(try await cluster.put(content).value == key)
        #expect(cluster.holders(key) == [replicas[0].node, replicas[1].node])
        await cluster.clock.advance(by: 30 * Nanoseconds.second)
        #expect(replicas[0].resync.status.length == 1)

        // Back again: the resync queue delivers.
        cluster.wire.behaviour[replicas[2].node] = .up
        replicas[0].health.note(.down, of: replicas[2].node)
        replicas[0].health.note(.alive, of: replicas[2].node)
        // An attempt that the hung replica never answers has to run out first.
        await cluster.clock.advance(by: 12 * Nanoseconds.second)
        #expect(cluster.holders(key).count == 3)
        #expect(replicas[0].resync.status.length == 0)
        #expect(replicas[0].queueStore.count == 0)
    }

    @Test(arguments: [TestWire.Behaviour.down, .hung, .diesAnswering])
    func theCoordinatorMayDie(behaviour: TestWire.Behaviour) async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(5000)
        let key = SHA256.key(of: content)
        let replicas = cluster.replicas(key)
        cluster.wire.behaviour[replicas[0].node] = behaviour
        #expect(try await cluster.put(content).value == key)
        #expect(cluster.holders(key).isSuperset(of: [replicas[1].node, replicas[2].node]))
        #expect(cluster.wire.count(.blockPut, to: replicas[1].node) == 1)
    }

    @Test func aHungCoordinatorHoldsUpOnlyTheFirstPut() async throws {
        let own = NodeID(rawValue: 1)
        let cluster = try TestCluster(members: 3, replicas: 3) { $0.ownNode = own }
        cluster.wire.behaviour[own] = .hung
        let begin = cluster.clock.now
        #expect(try await cluster.put(cluster.bytes(10)).value != nil)
        #expect(cluster.clock.now - begin == 3 * Nanoseconds.second)
        let second = cluster.clock.now
        #expect(try await cluster.put(cluster.bytes(11)).value != nil)
        #expect(cluster.clock.now == second)
    }

    @Test func aReplicaKnownToBeDownIsNotAskedButNoted() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(10)
        let replicas = cluster.replicas(SHA256.key(of: content))
        replicas[0].health.note(.down, of: replicas[2].node)
        let key = try #require(try await cluster.put(content).value)
        await settle()
        #expect(cluster.wire.count(.blockReplicate, to: replicas[2].node) == 0)
        #expect(cluster.holders(key).count == 2)
        #expect(replicas[0].resync.status.length == 1)
    }

    @Test func aReplicaThoughtDownIsAskedIfThereIsNoQuorumWithoutIt() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(10)
        let key = SHA256.key(of: content)
        let replicas = cluster.replicas(key)
        replicas[0].health.note(.down, of: replicas[2].node)
        cluster.wire.behaviour[replicas[1].node] = .down
        #expect(try await cluster.put(content).value == key)
        #expect(cluster.holders(key) == [replicas[0].node, replicas[2].node])
    }

    @Test func withoutAQuorumAPutWaitsAndThenFails() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(10)
        let replicas = cluster.replicas(SHA256.key(of: content))
        cluster.wire.behaviour[replicas[1].node] = .down
        cluster.wire.behaviour[replicas[2].node] = .down
        let begin = cluster.clock.now
        #expect(try await cluster.put(content).error?.code == .unavailable)
        let waited = cluster.clock.now - begin
        #expect(waited > 50 * Nanoseconds.second && waited <= 75 * Nanoseconds.second)
        #expect(replicas[0].resync.status.length == 0, "nothing refers to a block whose put failed")
    }

    @Test func aPutWaitsForAQuorumToComeBack() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(10)
        let key = SHA256.key(of: content)
        let replicas = cluster.replicas(key)
        let wire = cluster.wire
        wire.behaviour[replicas[1].node] = .down
        wire.behaviour[replicas[2].node] = .down
        _ = cluster.clock.schedule(after: 20 * Nanoseconds.second) { wire.behaviour[replicas[1].node] = .up }
        #expect(try await cluster.put(content).value == key)
    }

    @Test func aFullDiskOnOneReplicaIsMadeUpByTheOthers() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        for full in 0..<3 {
            let content = cluster.bytes(10)
            let key = SHA256.key(of: content)
            let replicas = cluster.replicas(key)
            replicas[full].local.isFull = true
            #expect(try await cluster.put(content).value == key)
            #expect(cluster.holders(key).count == 2)
            // Room comes back: so does the third copy.
            replicas[full].local.isFull = false
            await cluster.clock.advance(by: 3 * Nanoseconds.second)
            #expect(cluster.holders(key).count == 3)
        }
    }

    @Test func noSpaceIsSaidOnlyIfNoQuorumHasRoom() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(10)
        let replicas = cluster.replicas(SHA256.key(of: content))
        replicas[1].local.isFull = true
        cluster.wire.behaviour[replicas[2].node] = .down
        #expect(try await cluster.put(content).error?.code == .unavailable)
        cluster.wire.behaviour[replicas[2].node] = .up
        replicas[2].local.isFull = true
        cluster.wire.calls = []
        #expect(try await cluster.put(content).error?.code == .noSpace)
        #expect(cluster.wire.count(.blockPut) == 1, "it is final")
        for replica in replicas { replica.local.isFull = true }
        #expect(try await cluster.put(cluster.bytes(10)).error?.code == .noSpace)
        for replica in replicas { replica.local.isFull = false }
        #expect(try await cluster.put(content).value != nil)
    }

    @Test func theSameContentIsStoredOnce() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(1000)
        let first = try await cluster.put(content).value
        for daemon in cluster.daemons { daemon.local.isFull = true }
        #expect(try await cluster.put(content).value == first)
        #expect(cluster.daemons.map(\.local.blocks.count) == [1, 1, 1])
    }

    @Test func sizesOutOfRangeAreRefused() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        #expect(try await cluster.put([]).error?.code == .invalid)
        #expect(try await cluster.put(Array(repeating: 0, count: (1 << 20) + 1)).error?.code == .invalid)
        #expect(cluster.wire.calls.isEmpty)
    }

    @Test func putsInFlightAreBounded() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1) { $0.bytesInFlightMax = 1000 }
        cluster.wire.behaviour[NodeID(rawValue: 1)] = .slow(Nanoseconds.second)
        let (client, clock) = (cluster.client, cluster.clock)
        var done: [Int] = []
        for index in 0..<6 {
            let content = Slice(copying: cluster.bytes(500))
            Task { @LoopActor in
                _ = try? await client.put(content)
                done.append(index)
            }
        }
        await settle()
        #expect(cluster.wire.count(.blockPut) == 2)
        await clock.advance(by: Nanoseconds.second)
        #expect(done == [0, 1])
        #expect(cluster.wire.count(.blockPut) == 4)
        await clock.advance(by: 2 * Nanoseconds.second)
        #expect(done == [0, 1, 2, 3, 4, 5])
    }

    @Test func aCoordinatorWithAnOlderLayoutIsPassedOver() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        var history = cluster.layouts.rings.layouts
        try history.adopt(try RingTests.layout([1, 2, 3], replicas: 3, version: 2))
        cluster.layouts.adopt(history)
        let content = cluster.bytes(10)
        let replicas = cluster.replicas(SHA256.key(of: content))
        replicas[1].layouts.adopt(history)
        var asked: [UInt64] = []
        replicas[0].layouts.onNewer = { asked.append($0) }
        #expect(try await cluster.put(content).value != nil)
        #expect(asked == [2])
        #expect(cluster.wire.count(.blockPut, to: replicas[1].node) == 1)
    }

    @Test func aCoordinatorWithANewerLayoutUsesItAndTheClientLearns() async throws {
        let cluster = try TestCluster(members: 5, replicas: 3)
        var history = cluster.layouts.rings.layouts
        try history.adopt(try RingTests.layout([1, 2, 3, 4, 5], replicas: 5, version: 2))
        for daemon in cluster.daemons { daemon.layouts.adopt(history) }
        var asked: [UInt64] = []
        cluster.layouts.onNewer = { asked.append($0) }
        let key = try #require(try await cluster.put(cluster.bytes(10)).value)
        await settle()
        #expect(asked == [2])
        #expect(cluster.holders(key).count == 5)
    }

    @Test func contentThatIsNotTheKeysIsRefusedEverywhere() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let key = SHA256.key(of: Array("right".utf8))
        let body = BlockPutRequest(key: key, layoutVersion: 1).encoded
        let service = cluster.replicas(key)[0].service
        let error = await #expect(throws: TransportError.self) {
            _ = try await service.handle(.blockPut, Message(body: body, payload: Slice(copying: Array("wrong".utf8))))
        }
        #expect(try error.map { try BlockFailure(decoding: $0.detail).code } == .mismatch)
        #expect(cluster.holders(key).isEmpty)
    }
}
