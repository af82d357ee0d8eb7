import FilesystemWorld
import Namespace
import Runtime
import SimulationChecks
import TestSupport
import Testing

/// The workloads on real mounts over a metadata service in memory: what a right filesystem does is accepted, whatever happens to clients.
@Suite(.serialized) @LoopActor struct WorkloadTests {
    @Test(arguments: WorkloadKind.allCases) func aRightFilesystemIsAccepted(kind: WorkloadKind) async throws {
        for seed: UInt64 in 1...2 {
            let cluster = try Cluster(clients: 3, seed: seed)
            try await cluster.start([kind], for: 60 * Nanoseconds.second)
            await cluster.advance(70 * Nanoseconds.second)
            let report = await cluster.judge()
            #expect(report.violations.map(\.description) == [], "seed \(seed)")
            #expect(report.unknown == 0)
            // Users of locks mostly wait.
            #expect(report.operations > (kind == .locks ? 100 : 150), "seed \(seed): \(report.operations)")
        }
    }

    @Test(arguments: 1...4) func allAtOnceWithKillsAndLostSessions(seed: UInt64) async throws {
        let cluster = try Cluster(clients: 3, seed: seed, pace: 400 * Nanoseconds.millisecond)
        try await cluster.start(WorkloadKind.allCases, for: 60 * Nanoseconds.second)
        await cluster.advance(UInt64(10 + cluster.random.below(10)) * Nanoseconds.second)
        cluster.clients[0].mount.metadata.loseSession()
        await cluster.advance(UInt64(5 + cluster.random.below(10)) * Nanoseconds.second + UInt64(cluster.random.below(1_000_000_000)))
        cluster.kill(cluster.clients[1])
        await cluster.advance(UInt64(1 + cluster.random.below(5)) * Nanoseconds.second)
        cluster.clients[0].mount.metadata.loseSession()
        cluster.clients[2].mount.metadata.loseSession()
        await cluster.advance(10 * Nanoseconds.second)
        for client in cluster.clients where !client.files.isKilled { cluster.kill(client) }
        let report = await cluster.judge()
        #expect(report.violations.map(\.description) == [])
        #expect(report.unknown == 0)
        #expect(report.open > 0, "nothing was under way when the clients died: the run proves little")
        #expect(try Invariants.check(cluster.world.leader.store).map(\.description) == [])
    }

    /// A fault, the workload that is to meet it, and what it is to be called.
    struct Canary: CustomTestStringConvertible, Sendable {
        var fault: FaultyFiles.Fault
        var kind: WorkloadKind
        var rules: Set<Violation.Rule>

        init(_ fault: FaultyFiles.Fault, _ kind: WorkloadKind, _ rules: Violation.Rule...) {
            self.fault = fault
            self.kind = kind
            self.rules = Set(rules)
        }

        var testDescription: String { "\(fault) in \(kind)" }
    }

    nonisolated static let canaries = [
        Canary(.lostWrite, .tree, .content), Canary(.lostWrite, .append, .content), Canary(.lostWrite, .register, .halfWritten),
        Canary(.lostWrite, .manifest, .lost), Canary(.lostWrite, .image, .content), Canary(.lostWrite, .links, .orphan),
        Canary(.staleRead, .tree, .content), Canary(.staleRead, .append, .content), Canary(.staleRead, .image, .content),
        Canary(.wrongBytes, .tree, .neverWritten), Canary(.wrongBytes, .append, .neverWritten), Canary(.wrongBytes, .image, .content),
        Canary(.wrongBytes, .register, .halfWritten), Canary(.misplacedRead, .tree, .neverWritten), Canary(.doubleAppend, .append, .duplicated),
        Canary(.lostSync, .manifest, .lost), Canary(.lostSync, .tree, .content), Canary(.lostSync, .append, .content),
        Canary(.keptName, .storm, .names), Canary(.keptName, .manifest, .resurrected), Canary(.keptName, .tree, .names),
        Canary(.removedTwice, .storm, .names), Canary(.removedTwice, .manifest, .error), Canary(.shortListing, .storm, .names),
        Canary(.wrongLinks, .storm, .names), Canary(.wrongLinks, .links, .names), Canary(.reusedInode, .storm, .inodeReused),
        Canary(.halfRename, .register, .register), Canary(.cutRename, .register, .halfWritten), Canary(.lostOrphan, .links, .orphan),
        Canary(.lostAttribute, .attributes, .attributes), Canary(.lostXattr, .attributes, .attributes), Canary(.wrongErrno, .storm, .names),
        Canary(.silentLoss, .tree, .content), Canary(.silentLoss, .append, .content), Canary(.lostLock, .locks, .locks),
    ]

    @Test nonisolated func everyFaultHasACanary() {
        #expect(Set(Self.canaries.map(\.fault)) == Set(FaultyFiles.Fault.allCases))
    }

    @Test(arguments: canaries) func aWrongFilesystemIsRefused(canary: Canary) async throws {
        var found: Set<Violation.Rule> = []
        for seed: UInt64 in 1...12 {
            let cluster = try Cluster(clients: 2, seed: seed)
            cluster.clients[0].files.fault = canary.fault
            if canary.fault == .lostSync { cluster.clients[0].files.rarity = 2 }
            try await cluster.start([canary.kind], for: 60 * Nanoseconds.second)
            if canary.fault == .lostSync || canary.fault == .silentLoss {
                for _ in 0..<8 {
                    await cluster.advance(UInt64(2 + cluster.random.below(6)) * Nanoseconds.second)
                    cluster.clients[0].mount.metadata.loseSession()
                }
            } else {
                await cluster.advance(70 * Nanoseconds.second)
            }
            if canary.fault == .lostSync { cluster.kill(cluster.clients[0]) }
            await cluster.advance(30 * Nanoseconds.second)
            found.formUnion(await cluster.judge().violations.map(\.rule))
            if !found.isDisjoint(with: canary.rules) { return }
        }
        Issue.record("not found; other rules: \(found)")
    }

    @Test(arguments: FaultyBlocks.Fault.allCases) func wrongBlocksAreRefused(fault: FaultyBlocks.Fault) async throws {
        let cluster = try Cluster(clients: 2, seed: 3)
        cluster.blocks.fault = fault
        try await cluster.start([.blocks], for: 60 * Nanoseconds.second)
        await cluster.advance(70 * Nanoseconds.second)
        #expect(await cluster.judge().violations.contains { $0.rule == .block })
    }
}
