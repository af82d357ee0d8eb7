import Blocks
import Model
import Namespace
import OrderedStore
import Ring
import Runtime
import TestSupport
import Testing
import Verification

/// Three nodes with three replicas of every block, and a namespace:
///
///     /d/f    blocks 1, 2
///     /d/g    block 2
///     /e      block 3
@LoopActor
final class World {
    static let nodes = (1...3).map { NodeID(rawValue: $0) }
    static let blocks = [key(1), key(2), key(3)]

    let memory = MemoryWorld(seed: 5)
    let nodes = TestNodes()
    let tree: Tree
    let file: InodeID
    private(set) var progress: [Checker.Progress] = []
    /// How often the rows were copied.
    private(set) var rowCopies = 0
    private let rings: RingHistory

    init() throws {
        tree = try Tree()
        let directory = try tree.create("d", .directory)
        file = try tree.file("f", in: directory, [key(1), key(2)])
        try tree.file("g", in: directory, [key(2)])
        try tree.file("e", [key(3)])
        let members = Self.nodes.map {
            LayoutMember(
                node: $0, address: NodeAddress(host: "host\($0)", port: 7000, machine: "m", socketPath: ""), weight: 1, zone: "")
        }
        rings = RingHistory(LayoutHistory(try Layout(version: 1, replicas: 3, members: members)))
        nodes.store(Self.blocks, on: Self.nodes)
    }

    func checker() -> Checker {
        let environment = memory.node(99)
        return Checker(
            rings: rings,
            replicas: ReplicaClient(requests: nodes, health: PeerHealth(clock: memory.clock), environment: environment),
            clock: memory.clock,
            rows: { progress in
                self.rowCopies += 1
                progress(UInt64(self.tree.store.count))
                return (self.tree.copy(), self.tree.index)
            },
            progress: { self.progress.append($0) })
    }

    /// Checks while time goes on from timer to timer.
    func check(isDeep: Bool = false, path: [String]? = nil) async throws -> Report {
        var options = Checker.Options()
        options.isDeep = isDeep
        options.path = try path?.map { try #require(Name($0)) }
        let (checker, chosen) = (checker(), options)
        let box = Box()
        Task { @LoopActor in
            do throws(VerificationError) { box.result = .success(try await checker.check(chosen)) } catch { box.result = .failure(error) }
        }
        await settle()
        while box.result == nil { try #require(await memory.clock.advanceToNextTimer(), "the check waits for nothing") }
        return try #require(box.result).get()
    }

    @LoopActor
    private final class Box {
        var result: Result<Report, VerificationError>?
    }
}
