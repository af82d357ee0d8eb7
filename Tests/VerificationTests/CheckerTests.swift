import Digest
import Model
import Namespace
import Runtime
import TestSupport
import Testing
import Verification
import Wire

@Suite struct CheckerTests {
    private static let (first, second, third) = (NodeID(rawValue: 1), NodeID(rawValue: 2), NodeID(rawValue: 3))

    @Test(arguments: [false, true]) @LoopActor func soundClusterIsClean(isDeep: Bool) async throws {
        let world = try World()
        let begin = world.memory.clock.now
        let report = try await world.check(isDeep: isDeep)
        #expect(report.findings.isEmpty)
        #expect(report.unreferenced.isEmpty)
        // The root, a directory and three files.
        #expect(report.inodes == 5)
        #expect(report.blocks == 3)
        #expect(report.replicasChecked == 9)
        #expect(report.replicasRead == (isDeep ? 9 : 0))
        #expect(report.bytesRead == (isDeep ? 9 * UInt64(TestNodes.blockLength) : 0))
        #expect(report.appliedIndex == world.tree.index)
        #expect(report.exitCode == 0)
        // Without a suspicion there is nothing to wait for.
        #expect(world.memory.clock.now == begin)
        #expect(world.rowCopies == 1)
        #expect(world.progress.contains(.listing(node: Self.third, blocks: 3)))
    }

    @Test @LoopActor func missingCopyIsNamed() async throws {
        let world = try World()
        world.nodes.copies[Self.second]?.remove(key(1))
        let report = try await world.check()
        #expect(report.findings.count == 1)
        let finding = try #require(report.findings.first)
        #expect(finding.problem == .missing)
        #expect(finding.paths == ["/d/f"])
        #expect(finding.inode == world.file)
        #expect(finding.block == key(1))
        #expect(finding.node == Self.second)
        #expect(finding.isRepairable)
        #expect(report.exitCode == 4)
    }

    @Test @LoopActor func everyFileOfASharedBlockIsNamed() async throws {
        let world = try World()
        world.nodes.copies[Self.first]?.remove(key(2))
        let report = try await world.check()
        #expect(report.findings.map(\.paths) == [["/d/f", "/d/g"]])
    }

    @Test @LoopActor func onlyReadingFindsCorruptCopy() async throws {
        let world = try World()
        world.nodes.rotten[Self.third] = [key(3)]
        #expect(try await world.check().findings.isEmpty)
        let report = try await world.check(isDeep: true)
        #expect(report.findings.count == 1)
        let finding = try #require(report.findings.first)
        #expect(finding.problem == .corrupt)
        #expect(finding.paths == ["/e"])
        #expect(finding.block == key(3))
        #expect(finding.node == Self.third)
        #expect(finding.isRepairable)
    }

    @Test(arguments: [false, true]) @LoopActor func copyKnownToBeBadIsFound(isDeep: Bool) async throws {
        let world = try World()
        world.nodes.quarantined[Self.third] = [key(3)]
        let report = try await world.check(isDeep: isDeep)
        #expect(report.findings.map(\.problem) == [.corrupt])
        #expect(report.findings.first?.node == Self.third)
        #expect(report.findings.first?.isRepairable == true)
    }

    @Test @LoopActor func blockWithoutGoodCopyIsLost() async throws {
        let world = try World()
        for node in [Self.first, Self.second] { world.nodes.copies[node]?.remove(key(1)) }
        world.nodes.rotten[Self.third] = [key(1)]
        // Somebody still claims to have it.
        #expect(try await world.check().findings.map(\.problem) == [.missing, .missing])
        let report = try await world.check(isDeep: true)
        #expect(report.findings.map(\.problem) == [.missing, .missing, .corrupt, .lost])
        #expect(report.findings.allSatisfy { !$0.isRepairable && $0.block == key(1) && $0.paths == ["/d/f"] })
        #expect(report.findings.last?.node == nil)
        #expect(await world.checker().repair(report) == report)
        #expect(world.nodes.pulls.isEmpty)
    }

    @Test @LoopActor func lateCopyIsNoFinding() async throws {
        let world = try World()
        world.nodes.copies[Self.second]?.remove(key(1))
        // It arrives between the listing and the second look.
        world.nodes.before = { _, kind in if kind == .blockProbe { world.nodes.store([key(1)], on: [Self.second]) } }
        let begin = world.memory.clock.now
        let report = try await world.check()
        #expect(report.findings.isEmpty)
        #expect(world.memory.clock.now - begin == 2 * Nanoseconds.second)
    }

    @Test @LoopActor func lateCopyIsGoodForTheOthers() async throws {
        let world = try World()
        for node in World.nodes { world.nodes.copies[node]?.remove(key(1)) }
        world.nodes.before = { _, kind in if kind == .blockProbe { world.nodes.store([key(1)], on: [Self.second]) } }
        let report = try await world.check()
        #expect(report.findings.map(\.problem) == [.missing, .missing])
        #expect(report.findings.compactMap(\.node) == [Self.first, Self.third])
        #expect(report.findings.allSatisfy { $0.isRepairable })
    }

    @Test @LoopActor func silentNodeIsOneFinding() async throws {
        let world = try World()
        world.nodes.down = [Self.second]
        let report = try await world.check(isDeep: true)
        #expect(report.findings.map(\.problem) == [.unreachable])
        #expect(report.findings.first?.node == Self.second)
        #expect(report.findings.first?.isRepairable == false)
        #expect(report.replicasChecked == 6)
        #expect(report.replicasRead == 6)
        #expect(report.exitCode == 4)
    }

    /// It may be that the node that is away has it.
    @Test @LoopActor func nothingIsLostWhileANodeIsAway() async throws {
        let world = try World()
        world.nodes.down = [Self.second]
        for node in [Self.first, Self.third] { world.nodes.copies[node]?.remove(key(1)) }
        #expect(try await world.check().findings.map(\.problem) == [.unreachable, .missing, .missing])
    }

    @Test(arguments: [RequestKind.blockProbe, .blockCheck]) @LoopActor
    func nodeThatFallsSilentIsOneFinding(kind: RequestKind) async throws {
        let world = try World()
        world.nodes.copies[Self.second]?.remove(key(1))
        world.nodes.deaf[Self.second] = kind == .blockProbe ? [.blockProbe] : [.blockCheck, .blockProbe]
        let report = try await world.check(isDeep: kind == .blockCheck)
        #expect(report.findings.map(\.problem) == [.unreachable])
        #expect(report.findings.first?.node == Self.second)
    }

    @Test @LoopActor func leftoversAreListedOnly() async throws {
        let world = try World()
        world.nodes.store([key(70), key(71)], on: [Self.third])
        // One of them belongs to a file that is written during the listing.
        var isWritten = false
        world.nodes.before = { node, kind in
            guard kind == .blockList, node == Self.third, !isWritten else { return }
            isWritten = true
            try world.tree.file("new", [key(71)])
        }
        let report = try await world.check()
        #expect(isWritten)
        #expect(report.findings.isEmpty)
        #expect(report.unreferenced.map(\.block) == [key(70)])
        #expect(report.unreferenced.map(\.node) == [Self.third])
        #expect(report.unreferenced.map(\.length) == [UInt32(TestNodes.blockLength)])
        #expect(report.exitCode == 0)
    }

    @Test(arguments: [false, true]) @LoopActor func blocksGivenUpMeanwhileAreNoFindings(isDeep: Bool) async throws {
        let world = try World()
        world.nodes.before = { node, kind in
            guard kind == (isDeep ? .blockCheck : .blockList), node == Self.first, world.nodes.copies[node]?.contains(key(3)) == true else {
                return
            }
            try world.tree.unlink("e")
            for node in World.nodes { world.nodes.copies[node]?.remove(key(3)) }
        }
        let report = try await world.check(isDeep: isDeep)
        #expect(world.nodes.copies[Self.first]?.contains(key(3)) == false)
        #expect(report.findings.isEmpty)
    }

    @Test @LoopActor func contradictionOfTheNamespaceIsFound() async throws {
        let world = try World()
        world.tree.delete(RowKey.inode(world.file))
        let report = try await world.check()
        #expect(!report.findings.isEmpty)
        #expect(report.findings.allSatisfy { $0.problem == .namespace && !$0.isRepairable })
        #expect(report.findings.contains { $0.inode == world.file })
        #expect(report.exitCode == 4)
    }

    /// A row that cannot be decoded does not keep the rest from being checked.
    @Test(arguments: [nil, ["d"]]) @LoopActor func unreadableRowIsFound(path: [String]?) async throws {
        let world = try World()
        world.tree.damage(RowKey.extents(world.file, region: 0))
        world.nodes.copies[Self.second]?.remove(key(2))
        let report = try await world.check(path: path)
        #expect(report.findings.contains { $0.problem == .namespace && $0.inode == world.file } || path == nil)
        #expect(report.findings.contains { $0.problem == .namespace })
        #expect(report.findings.filter { $0.problem == .missing }.map(\.paths) == [["/d/g"]])
    }

    @Test @LoopActor func pathSelectsWhatIsBelow() async throws {
        let world = try World()
        for block in World.blocks { world.nodes.copies[Self.first]?.remove(block) }
        world.nodes.store([key(70)], on: [Self.third])
        let directory = try await world.check(path: ["d"])
        #expect(directory.findings.count == 2)
        #expect(Set(directory.findings.compactMap(\.block)) == [key(1), key(2)])
        #expect(directory.blocks == 2)
        #expect(directory.inodes == 3)
        #expect(directory.unreferenced.isEmpty)
        let file = try await world.check(path: ["d", "g"])
        #expect(file.findings.map(\.block) == [key(2)])
        #expect(file.findings.map(\.paths) == [["/d/g"]])
        #expect(try await world.check(path: []).findings.count == 3)
    }

    @Test @LoopActor func unknownPathIsRefused() async throws {
        let world = try World()
        let error = await #expect(throws: VerificationError.self) { try await world.check(path: ["d", "x"]) }
        #expect(error?.code == .notFound)
    }

    /// More blocks than one answer to a listing, one batch to read and one second look take.
    @Test @LoopActor func pagesAreJoined() async throws {
        let world = try World()
        let many = (100..<4300).map { key(UInt64($0)) }
        for part in 0..<6 { try world.tree.file("many\(part)", Array(many[part * 700..<(part + 1) * 700])) }
        world.nodes.store(many, on: World.nodes)
        world.nodes.copies[Self.second]?.remove(many[4000])
        world.nodes.rotten[Self.third] = [many[4199]]
        world.nodes.copies[Self.first] = []
        let report = try await world.check(isDeep: true)
        #expect(report.findings.filter { $0.node == Self.first }.count == 4203)
        #expect(report.findings.filter { $0.node == Self.second }.map(\.block) == [many[4000]])
        #expect(report.findings.filter { $0.node == Self.third }.map(\.problem) == [.corrupt])
        #expect(report.findings.count == 4205)
        #expect(report.findings.allSatisfy { $0.isRepairable })
        #expect(report.replicasRead == 4203 * 2 - 1)
    }

    @Test @LoopActor func repairReplacesBadCopiesOnly() async throws {
        let world = try World()
        world.nodes.copies[Self.second]?.remove(key(1))
        world.nodes.rotten[Self.third] = [key(3)]
        let found = try await world.check(isDeep: true)
        #expect(found.findings.count == 2)
        #expect(world.nodes.pulls.isEmpty)
        let report = await world.checker().repair(found)
        #expect(Set(world.nodes.pulls) == [.init(key: key(1), node: Self.second), .init(key: key(3), node: Self.third)])
        #expect(world.nodes.pulls.count == 2)
        #expect(report.repaired == 2)
        #expect(report.findings.isEmpty)
        #expect(report.exitCode == 1)
        #expect(world.progress.last == .repairing(done: 2, total: 2))
        #expect(try await world.check(isDeep: true).exitCode == 0)
    }

    @Test @LoopActor func failedRepairIsKeptWithItsReason() async throws {
        let world = try World()
        for node in [Self.first, Self.second] { world.nodes.copies[node]?.remove(key(1)) }
        let found = try await world.check()
        world.nodes.deaf[Self.second] = [.blockPullFrom]
        let report = await world.checker().repair(found)
        #expect(world.nodes.pulls == [.init(key: key(1), node: Self.first)])
        #expect(report.repaired == 1)
        #expect(report.findings.map(\.node) == [Self.second])
        #expect(report.findings.first?.detail.contains("connection refused") == true)
        #expect(report.exitCode == 4)
    }
}
