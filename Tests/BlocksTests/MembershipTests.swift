import Membership
import Model
import Testing

@Suite struct MembershipTests {
    static let second: UInt64 = 1_000_000_000

    static func nodes(_ count: Int) -> [NodeID] { (0..<count).map { NodeID(rawValue: UInt64($0 + 1)) } }

    /// A detector with members, driven tick by tick; `isDead` decides who answers.
    struct World {
        var membership: Membership
        var now: UInt64 = 10 * MembershipTests.second
        var changes: [(NodeID, MemberState, UInt64)] = []

        init(_ count: Int, configuration: MembershipConfiguration = MembershipConfiguration()) {
            membership = Membership(configuration: configuration, seed: 7)
            _ = membership.step(.members(MembershipTests.nodes(count)), now: now)
        }

        mutating func send(_ event: MembershipEvent) -> [MembershipEffect] {
            let effects = membership.step(event, now: now)
            for case .changed(let node, _, let state) in effects { changes.append((node, state, now)) }
            return effects
        }

        /// One probe interval. Returns who was probed.
        mutating func tick(dead: Set<NodeID>, unreachable: Set<NodeID> = []) -> [NodeID] {
            now += MembershipTests.second
            var probed: [NodeID] = []
            for case .probe(let node) in send(.tick) {
                probed.append(node)
                if !dead.contains(node), !unreachable.contains(node) {
                    _ = send(.answered(node, roundTrip: 1000))
                    continue
                }
                for case .probeIndirectly(let target, let helpers) in send(.missed(node)) {
                    let isHelped = !dead.contains(target) && !helpers.isEmpty
                    _ = send(isHelped ? .answeredIndirectly(target) : .missedIndirectly(target))
                }
            }
            return probed
        }
    }

    @Test func everyMemberIsProbedEveryIntervalInSmallClusters() {
        var world = World(5)
        for _ in 0..<10 { #expect(Set(world.tick(dead: [])) == Set(Self.nodes(5))) }
    }

    @Test func inLargeClustersMembersTakeTurns() {
        var world = World(40)
        var count: [NodeID: Int] = [:]
        for _ in 0..<50 {
            let probed = world.tick(dead: [])
            #expect(probed.count == 8)
            for node in probed { count[node, default: 0] += 1 }
        }
        #expect(count.count == 40)
        #expect(count.values.allSatisfy { $0 >= 9 && $0 <= 11 }, "\(count)")
    }

    @Test func threeMissesMakeSuspectedAndSilenceMakesDown() {
        var world = World(3)
        let dead = NodeID(rawValue: 2)
        let begin = world.now
        for _ in 0..<10 { _ = world.tick(dead: [dead]) }
        #expect(world.changes.map(\.0) == [dead, dead])
        #expect(world.changes.map(\.1) == [.suspected, .down])
        #expect(world.changes.map { ($0.2 - begin) / Self.second } == [3, 6])
        #expect(world.membership.status(of: dead)?.state == .down)
        #expect(world.membership.status(of: NodeID(rawValue: 1))?.state == .alive)
    }

    @Test func anIndirectAnswerKeepsAMemberAlive() {
        var world = World(3)
        for _ in 0..<20 { _ = world.tick(dead: [], unreachable: [NodeID(rawValue: 2)]) }
        #expect(world.changes.isEmpty)
    }

    @Test func indirectProbesGoThroughOthersThatAreAlive() {
        var world = World(5)
        let target = NodeID(rawValue: 3)
        for _ in 0..<4 { _ = world.tick(dead: [NodeID(rawValue: 1)]) }
        let effects = world.send(.missed(target))
        guard case .probeIndirectly(target, let helpers) = effects.first else {
            Issue.record("\(effects)")
            return
        }
        #expect(helpers.count == 2)
        #expect(!helpers.contains(target) && !helpers.contains(NodeID(rawValue: 1)))
    }

    @Test func aMemberAloneIsJudgedByDirectProbes() {
        var world = World(1)
        for _ in 0..<10 { _ = world.tick(dead: [NodeID(rawValue: 1)]) }
        #expect(world.changes.map(\.1) == [.suspected, .down])
    }

    @Test func anyMessageIsASignOfLife() {
        var world = World(2)
        let node = NodeID(rawValue: 1)
        for _ in 0..<4 { _ = world.tick(dead: [node]) }
        #expect(world.membership.status(of: node)?.state == .suspected)
        _ = world.send(.heard(node))
        #expect(world.membership.status(of: node)?.state == .alive)
        #expect(world.membership.status(of: node)?.missed == 0)
        #expect(world.membership.status(of: node)?.since == world.now)
    }

    @Test func theFirstReturnIsImmediateAndFlappingIsDamped() {
        var world = World(3)
        let node = NodeID(rawValue: 2)
        for _ in 0..<8 { _ = world.tick(dead: [node]) }
        #expect(world.membership.status(of: node)?.state == .down)
        _ = world.tick(dead: [])
        #expect(world.membership.status(of: node)?.state == .alive)
        for _ in 0..<8 { _ = world.tick(dead: [node]) }
        #expect(world.membership.status(of: node)?.state == .down)
        // The second time it has to be heard for five seconds.
        _ = world.tick(dead: [])
        #expect(world.membership.status(of: node)?.state == .suspected)
        for _ in 0..<4 { _ = world.tick(dead: []) }
        #expect(world.membership.status(of: node)?.state == .suspected)
        _ = world.tick(dead: [])
        #expect(world.membership.status(of: node)?.state == .alive)
    }

    @Test func aMissWhileProvingItselfBeginsSuspicionAnew() {
        var world = World(3)
        let node = NodeID(rawValue: 2)
        for _ in 0..<2 {
            for _ in 0..<8 { _ = world.tick(dead: [node]) }
            _ = world.tick(dead: [])
        }
        #expect(world.membership.status(of: node)?.state == .suspected)
        for _ in 0..<5 { _ = world.tick(dead: [node]) }
        #expect(world.membership.status(of: node)?.state == .down)
        #expect(world.membership.status(of: node)?.flaps == 3)
    }

    @Test func flapsAreForgotten() {
        var world = World(3)
        let node = NodeID(rawValue: 2)
        for _ in 0..<2 {
            for _ in 0..<8 { _ = world.tick(dead: [node]) }
            _ = world.tick(dead: [])
        }
        for _ in 0..<130 { _ = world.tick(dead: []) }
        #expect(world.membership.status(of: node)?.flaps == 0)
        for _ in 0..<8 { _ = world.tick(dead: [node]) }
        _ = world.tick(dead: [])
        #expect(world.membership.status(of: node)?.state == .alive)
    }

    @Test func roundTripsAreSmoothed() {
        var world = World(1)
        let node = NodeID(rawValue: 1)
        _ = world.send(.answered(node, roundTrip: 8000))
        #expect(world.membership.status(of: node)?.roundTrip == 8000)
        _ = world.send(.answered(node, roundTrip: 16000))
        #expect(world.membership.status(of: node)?.roundTrip == 9000)
    }

    @Test func nobodyIsProbedTwiceAtOnce() {
        var world = World(2)
        world.now += Self.second
        #expect(world.send(.tick).count == 2)
        world.now += Self.second
        #expect(world.send(.tick).isEmpty)
    }

    @Test func membersComeAndGo() {
        var world = World(3)
        _ = world.send(.members([NodeID(rawValue: 2), NodeID(rawValue: 9)]))
        #expect(world.membership.members.map(\.node.rawValue) == [2, 9])
        #expect(world.send(.answered(NodeID(rawValue: 1), roundTrip: 1)).isEmpty)
        #expect(Set(world.tick(dead: [])) == [NodeID(rawValue: 2), NodeID(rawValue: 9)])
    }
}
