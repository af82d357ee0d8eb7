import Blocks
import Bytes
import Membership
import Model
import Ring
import Runtime
import Telemetry
import Testing
import TestSupport
import Transport
import Wire

@Suite @LoopActor struct MembershipDriverTests {
    @LoopActor
    final class Cluster {
        let world = MemoryWorld(seed: 11)
        let wire: TestWire
        var layouts: [LayoutTable] = []
        var health: [PeerHealth] = []
        var drivers: [MembershipDriver] = []

        init(_ count: Int) throws {
            wire = TestWire(clock: world.clock)
            let environment = world.node(1)
            for number in 1...UInt64(count) {
                let node = NodeID(rawValue: number)
                let table = LayoutTable(LayoutHistory(try RingTests.layout((1...UInt64(count)).map { $0 })))
                let peers = PeerHealth(clock: world.clock)
                let driver = MembershipDriver(
                    node: node, layouts: table, requests: wire.client(of: node), health: peers, environment: environment,
                    log: Log(component: "test", level: .error))
                wire.serve(node) { _, message async throws(TransportError) -> Message in try await driver.handle(message) }
                wire.behaviour[node] = .slow(2 * Nanoseconds.millisecond)
                layouts.append(table)
                health.append(peers)
                drivers.append(driver)
                driver.start()
            }
        }

        func stop() { for driver in drivers { driver.stop() } }
    }

    @Test func everybodySeesEverybodyAlive() async throws {
        let cluster = try Cluster(3)
        await cluster.world.clock.advance(by: 20 * Nanoseconds.second)
        for driver in cluster.drivers {
            #expect(driver.members.count == 2)
            #expect(driver.members.allSatisfy { $0.state == .alive && $0.roundTrip == 2 * Nanoseconds.millisecond })
        }
        let probes = cluster.wire.count(.probe)
        #expect(probes >= 6 * 17 && probes <= 6 * 23, "\(probes)")
        cluster.stop()
        cluster.wire.calls = []
        await cluster.world.clock.advance(by: 10 * Nanoseconds.second)
        #expect(cluster.wire.calls.isEmpty)
    }

    /// It was away for less time than the detector needs to notice, but a call went unanswered.
    @Test func aCallThatWentUnansweredIsAReturnWithTheNextProbeAfterThePenalty() async throws {
        let cluster = try Cluster(2)
        await cluster.world.clock.advance(by: 5 * Nanoseconds.second)
        let health = cluster.health[0]
        var returned: [NodeID] = []
        health.onReturn { returned.append($0) }
        let other = NodeID(rawValue: 2)
        health.noteSilence(of: other)
        health.noteSilence(of: other)
        let penalty = 2 * Nanoseconds.second
        await cluster.world.clock.advance(by: penalty - Nanoseconds.millisecond)
        #expect(returned.isEmpty)
        await cluster.world.clock.advance(by: 2 * Nanoseconds.second)
        #expect(returned == [other])
        await cluster.world.clock.advance(by: 10 * Nanoseconds.second)
        #expect(returned == [other])
        cluster.stop()
    }

    @Test(arguments: [TestWire.Behaviour.down, .hung])
    func aDeadMemberIsNoticedAndItsReturnToo(behaviour: TestWire.Behaviour) async throws {
        let cluster = try Cluster(3)
        let dead = NodeID(rawValue: 3)
        var returned: [NodeID] = []
        cluster.health[0].onReturn { returned.append($0) }
        await cluster.world.clock.advance(by: 3 * Nanoseconds.second)
        cluster.wire.behaviour[dead] = behaviour
        await cluster.world.clock.advance(by: 25 * Nanoseconds.second)
        #expect(cluster.drivers[0].members.map(\.state) == [.alive, .down])
        #expect(cluster.drivers[1].members.map(\.state) == [.alive, .down])
        #expect(cluster.health[0].rank(of: dead) == .down)
        cluster.wire.behaviour[dead] = .up
        await cluster.world.clock.advance(by: 5 * Nanoseconds.second)
        #expect(cluster.drivers[0].members.map(\.state) == [.alive, .alive])
        #expect(cluster.health[0].rank(of: dead) == .healthy)
        #expect(returned == [dead])
        cluster.stop()
    }

    @Test func aLinkThatIsCutDoesNotMakeAMemberDown() async throws {
        let cluster = try Cluster(3)
        cluster.wire.cuts = [(NodeID(rawValue: 1), NodeID(rawValue: 2))]
        await cluster.world.clock.advance(by: 30 * Nanoseconds.second)
        #expect(cluster.drivers[0].members.map(\.state) == [.alive, .alive])
        cluster.stop()
    }

    @Test func aNewerLayoutIsHeardOf() async throws {
        let cluster = try Cluster(2)
        var versions: [UInt64] = []
        cluster.layouts[0].onNewer = { versions.append($0) }
        var history = cluster.layouts[1].rings.layouts
        try history.adopt(try RingTests.layout([1, 2, 3], version: 5))
        cluster.layouts[1].adopt(history)
        await cluster.world.clock.advance(by: 3 * Nanoseconds.second)
        #expect(versions == [5])
        #expect(cluster.drivers[1].members.map(\.node.rawValue) == [1, 3])
        cluster.stop()
    }

    @Test func strangersAreNotProbedForOthers() async throws {
        let cluster = try Cluster(2)
        cluster.wire.calls = []
        let reply = try await cluster.drivers[0].handle(Message(body: ProbeRequest(target: NodeID(rawValue: 77)).encoded))
        #expect(try ProbeReply(decoding: reply.body).isAlive == false)
        #expect(cluster.wire.calls.isEmpty)
        await #expect(throws: TransportError.self) { _ = try await cluster.drivers[0].handle(Message(body: [9])) }
        cluster.stop()
    }
}
