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

@Suite @LoopActor struct GetTests {
    static let hour = 60 * Nanoseconds.minute

    @Test func theWholeBlockComesFromTheFirstReplica() async throws {
        let cluster = try TestCluster(members: 5, replicas: 3)
        let content = cluster.bytes(300_000)
        let key = cluster.stored(content)
        #expect(try await cluster.get(key, length: content.count).value == content)
        #expect(cluster.wire.count(.blockGet) == 1)
        #expect(cluster.wire.count(.blockGet, to: cluster.replicas(key)[0].node) == 1)
        #expect(try await cluster.get(key, length: content.count, offset: 1000, count: 200_000).value == Array(content[1000..<201_000]))
    }

    @Test func ourOwnDaemonIsAskedFirstIfItIsAReplica() async throws {
        let own = NodeID(rawValue: 4)
        let cluster = try TestCluster(members: 5, replicas: 3) { $0.ownNode = own }
        for _ in 0..<20 {
            cluster.wire.calls = []
            let content = cluster.bytes(100)
            let key = cluster.stored(content)
            #expect(try await cluster.get(key, length: 100).value == content)
            let replicas = cluster.layouts.current.successors(of: key)
            #expect(cluster.wire.calls.map(\.target) == [replicas.contains(own) ? own : replicas[0]])
        }
    }

    @Test func smallRangesAreReadAlone() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        let content = cluster.bytes(1 << 20)
        let key = cluster.stored(content)
        // The replica checks ranges by its pages; only a whole block would show that the content does not match the key.
        cluster.daemons[0].local.lying[key] = content
        cluster.daemons[0].local.lying[key]?[0] ^= 1
        #expect(try await cluster.get(key, length: 1 << 20, offset: 5000, count: 4096).value == Array(content[5000..<9096]))
        #expect(try await cluster.get(key, length: 1 << 20, offset: 5000, count: 200 << 10).error?.code == .lost)
    }

    @Test func rangesOutsideTheBlockAreRefused() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        let key = cluster.stored(cluster.bytes(100))
        let wrong = [(100, 0, 101), (100, 101, 1), (100, -1, 5), (100, 5, 0), (0, 0, 1), (100, 5, .max), ((4 << 20) + 1, 0, 1)]
        for (length, offset, count) in wrong {
            #expect(try await cluster.get(key, length: length, offset: offset, count: count).error?.code == .invalid)
        }
        #expect(cluster.wire.calls.isEmpty)
        // A block shorter than the extent that refers to it.
        #expect(try await cluster.get(key, length: 200, offset: 0, count: 200).error?.code == .invalid)
    }

    @Test(arguments: [TestWire.Behaviour.down, .hung])
    func anyReplicaServes(behaviour: TestWire.Behaviour) async throws {
        let cluster = try TestCluster(members: 5, replicas: 3)
        let content = cluster.bytes(1000)
        let key = cluster.stored(content)
        for replica in cluster.replicas(key).prefix(2) { cluster.wire.behaviour[replica.node] = behaviour }
        #expect(try await cluster.get(key, length: 1000).value == content)
    }

    @Test func aSlowReplicaIsHedged() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(1000)
        let key = cluster.stored(content)
        let replicas = cluster.replicas(key)
        cluster.wire.behaviour[replicas[0].node] = .slow(5 * Nanoseconds.second)
        let begin = cluster.clock.now
        #expect(try await cluster.get(key, length: 1000).value == content)
        #expect(cluster.clock.now - begin == 100 * Nanoseconds.millisecond)
        #expect(cluster.wire.calls.map(\.target) == [replicas[0].node, replicas[1].node])

        // Quick answers bring the delay down to its lower bound.
        cluster.wire.behaviour[replicas[0].node] = .up
        for _ in 0..<20 { _ = try await cluster.get(key, length: 1000) }
        cluster.wire.behaviour[replicas[0].node] = .slow(5 * Nanoseconds.second)
        await cluster.clock.advance(by: 40 * Nanoseconds.second)
        let again = cluster.clock.now
        #expect(try await cluster.get(key, length: 1000).value == content)
        #expect(cluster.clock.now - again == 5 * Nanoseconds.millisecond)
    }

    @Test func anAnswerInTimeIsNotHedged() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(1000)
        let key = cluster.stored(content)
        cluster.wire.behaviour[cluster.replicas(key)[0].node] = .slow(90 * Nanoseconds.millisecond)
        #expect(try await cluster.get(key, length: 1000).value == content)
        #expect(cluster.wire.count(.blockGet) == 1)
    }

    @Test func slowReplicasAreAvoidedNextTime() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(1000)
        let key = cluster.stored(content)
        let replicas = cluster.replicas(key)
        cluster.wire.behaviour[replicas[0].node] = .slow(80 * Nanoseconds.millisecond)
        _ = try await cluster.get(key, length: 1000)
        cluster.wire.calls = []
        #expect(try await cluster.get(key, length: 1000).value == content)
        #expect(cluster.wire.calls.map(\.target) == [replicas[1].node])
        // After a while it gets another chance.
        await cluster.clock.advance(by: 31 * Nanoseconds.second)
        cluster.wire.calls = []
        _ = try await cluster.get(key, length: 1000)
        #expect(cluster.wire.calls.map(\.target) == [replicas[0].node])
    }

    @Test func aCopyWithBadChecksumsIsReplaced() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(50_000)
        let key = cluster.stored(content)
        let bad = cluster.replicas(key)[0]
        bad.local.rotten.insert(key)
        #expect(try await cluster.get(key, length: content.count).value == content)
        await cluster.clock.advance(by: Nanoseconds.second)
        #expect(bad.local.quarantined == [key])
        #expect(bad.local.blocks[key] == content)
        #expect(bad.local.rotten.isEmpty)
        #expect(bad.resync.status.length == 0)
    }

    @Test func aCopyThatDoesNotMatchItsKeyIsFoundByTheReaderAndReplaced() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(50_000)
        let key = cluster.stored(content)
        let bad = cluster.replicas(key)[0]
        bad.local.lying[key] = cluster.bytes(50_000)
        #expect(try await cluster.get(key, length: content.count).value == content)
        await cluster.clock.advance(by: Nanoseconds.second)
        #expect(bad.local.quarantined == [key])
        #expect(bad.local.blocks[key] == content)
        #expect(bad.local.lying.isEmpty)
    }

    @Test func aMissingCopyIsFetchedByItsReplica() async throws {
        let cluster = try TestCluster(members: 5, replicas: 3)
        let content = cluster.bytes(500)
        let key = cluster.stored(content)
        let replicas = cluster.replicas(key)
        replicas[0].local.blocks = [:]
        #expect(try await cluster.get(key, length: 500).value == content)
        #expect(replicas[0].resync.status.length == 1)
        await cluster.clock.advance(by: 11 * Nanoseconds.second)
        #expect(replicas[0].local.blocks[key] == content)
        #expect(cluster.holders(key).count == 3)
    }

    @Test func whereNobodyHasAGoodCopyTheBlockIsLost() async throws {
        let cluster = try TestCluster(members: 5, replicas: 3)
        let content = cluster.bytes(500)
        let key = cluster.stored(content)
        for replica in cluster.replicas(key) { replica.local.rotten.insert(key) }
        #expect(try await cluster.get(key, length: 500).error?.code == .lost)
        #expect(Set(cluster.wire.calls.filter { $0.source == nil }.map(\.target)).count == 5, "everybody was asked")
    }

    @Test func whileSomebodyDoesNotAnswerNothingIsLost() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(500)
        let key = cluster.stored(content)
        let replicas = cluster.replicas(key)
        replicas[0].local.blocks = [:]
        replicas[1].local.blocks = [:]
        cluster.wire.behaviour[replicas[2].node] = .down
        #expect(try await cluster.get(key, length: 500).error?.code == .unavailable)
        let wire = cluster.wire
        _ = cluster.clock.schedule(after: 10 * Nanoseconds.second) { wire.behaviour[replicas[2].node] = .up }
        #expect(try await cluster.get(key, length: 500).value == content)
    }

    @Test func aBlockThatHasNotMovedYetIsFound() async throws {
        let cluster = try TestCluster(members: 6, replicas: 2)
        var history = LayoutHistory(try RingTests.layout([1, 2, 3], replicas: 2))
        let old = Ring(history.current)
        try history.adopt(try RingTests.layout([4, 5, 6], replicas: 2, version: 2))
        for daemon in cluster.daemons { daemon.layouts.adopt(history) }
        cluster.layouts.adopt(history)
        let content = cluster.bytes(700)
        let key = SHA256.key(of: content)
        for node in old.successors(of: key) { cluster.daemon(node).local.blocks[key] = content }
        #expect(try await cluster.get(key, length: 700).value == content)
        #expect(cluster.wire.calls.map(\.target) == cluster.layouts.current.successors(of: key) + [old.successors(of: key)[0]])
        // The new owners noticed what they lack.
        await cluster.clock.advance(by: 11 * Nanoseconds.second)
        #expect(cluster.holders(key).isSuperset(of: cluster.layouts.current.successors(of: key)))
    }

    @Test func concurrentReadsOfABlockAreOneRequest() async throws {
        let cluster = try TestCluster(members: 3, replicas: 3)
        let content = cluster.bytes(1 << 20)
        let key = cluster.stored(content)
        let client = cluster.client
        let results = try await cluster.drive {
            let tasks = (0..<8).map { index in
                Task { @LoopActor in try await client.get(key, length: 1 << 20, offset: index << 17, count: 1 << 17).array }
            }
            var results: [[UInt8]] = []
            for task in tasks { if let bytes = try? await task.value { results.append(bytes) } }
            return results
        }
        #expect(results.flatMap { $0 } == content)
        #expect(cluster.wire.count(.blockGet) == 8, "ranges are small enough to be read alone")
        cluster.wire.calls = []
        let whole = try await cluster.drive {
            let tasks = (0..<8).map { _ in
                Task { @LoopActor in try await client.get(key, length: 1 << 20, offset: 0, count: 1 << 20).count }
            }
            var sum = 0
            for task in tasks { sum += (try? await task.value) ?? 0 }
            return sum
        }
        #expect(whole == 8 << 20)
        #expect(cluster.wire.count(.blockGet) == 1)
    }

    @Test func aFailedFlightFailsAllAndTheNextBeginsAnew() async throws {
        let cluster = try TestCluster(members: 1, replicas: 1)
        let content = cluster.bytes(1000)
        let key = SHA256.key(of: content)
        let client = cluster.client
        let codes = try await cluster.drive {
            let tasks = (0..<3).map { _ in
                Task { @LoopActor in
                    do throws(BlocksError) {
                        _ = try await client.get(key, length: 1000, offset: 0, count: 1000)
                        return BlocksError.Code?.none
                    } catch {
                        return error.code
                    }
                }
            }
            var codes: [BlocksError.Code?] = []
            for task in tasks { codes.append(await task.value) }
            return codes
        }
        #expect(codes == [.lost, .lost, .lost])
        cluster.daemons[0].local.blocks[key] = content
        #expect(try await cluster.get(key, length: 1000).value == content)
    }
}
