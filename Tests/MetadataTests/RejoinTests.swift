import Consensus
import Metadata
import Model
import Namespace
import Runtime
import Testing
import TestSupport

/// Metadata servers whose disk lost its content, or part of it, between two starts.
@Suite(.serialized) struct RejoinTests {
    private static let directory = "/data/raft"

    @LoopActor private func wipe(_ node: TestGroup.Node) {
        node.disk.wipe(Self.directory)
        node.loseState()
    }

    @LoopActor private func follower(_ group: TestGroup) async throws -> TestGroup.Node {
        let leader = try await group.leader()
        return try #require(group.nodes.first { $0 !== leader })
    }

    /// What a daemon's upkeep does, until all are voters as before.
    @LoopActor private func waitForVoters(_ group: TestGroup) async throws {
        var isChanging = false
        try await group.wait {
            guard let server = group.nodes.compactMap(\.server).first(where: \.isServing) else { return false }
            if let learner = server.learnerToPromote, !isChanging {
                isChanging = true
                Task { @LoopActor in
                    try? await server.addMember(learner, timeout: Nanoseconds.second)
                    isChanging = false
                }
            }
            return server.members.voters.count == group.nodes.count && group.nodes.allSatisfy { $0.server?.isRecovering == false }
        }
    }

    /// The returned voter is worth a vote: with one of the others gone, the group goes on.
    @LoopActor private func checkVoter(_ node: TestGroup.Node, _ group: TestGroup, _ client: LeaderMetadataClient, files: Int) async throws {
        try await waitForVoters(group)
        if try await group.leader() === node {
            group.kill(try #require(group.nodes.first { $0 !== node }))
        } else {
            group.kill(try await group.leader())
        }
        for number in 0..<files { #expect(try await client.lookup("f\(number)") != nil, "f\(number)") }
        #expect(try await client.create("after").attributes != nil)
        for other in group.nodes where other.server == nil { try await group.start(other) }
        try await group.wait { Set(group.nodes.map { $0.server?.status.applied }).count == 1 }
    }

    @Test(arguments: [UInt64.max, 20]) @LoopActor func aWipedFollowerComesBackAsVoter(keptEntries: UInt64) async throws {
        let group = TestGroup(3) {
            if keptEntries < 100 {
                $0.compactEntries = 30
                $0.keptEntries = keptEntries
            }
        }
        try await group.start()
        let client = group.client("a")
        try await group.run {
            for number in 0..<60 { _ = try await client.create("f\(number)") }
            let victim = try await self.follower(group)
            group.kill(victim)
            self.wipe(victim)
            try await group.start(victim)
            #expect(victim.server?.isRecovering == true)
            try await self.checkVoter(victim, group, client, files: 60)
            #expect((victim.stores?.adoptions ?? 0) == (keptEntries < 100 ? 1 : 0))
        }
    }

    @Test @LoopActor func onlyTheLogIsGone() async throws {
        let group = TestGroup(3)
        try await group.start()
        let client = group.client("a")
        try await group.run {
            for number in 0..<20 { _ = try await client.create("f\(number)") }
            let victim = try await self.follower(group)
            await victim.server?.stop()
            group.kill(victim)
            victim.disk.wipe(Self.directory)
            try await group.start(victim)
            #expect(victim.server?.isRecovering == true && victim.server?.status.applied == 0)
            try await self.checkVoter(victim, group, client, files: 20)
        }
    }

    @Test @LoopActor func aDamagedLogIsKeptAsideAndTheServerComesBack() async throws {
        let group = TestGroup(3)
        try await group.start()
        let client = group.client("a")
        try await group.run {
            for number in 0..<20 { _ = try await client.create("f\(number)") }
            for round in 0..<2 {
                let victim = try await self.follower(group)
                group.kill(victim)
                self.damageMiddle(victim)
                try await group.start(victim)
                #expect(victim.server?.isRecovering == true, "round \(round)")
                #expect(try await !victim.disk.list(Self.directory + ".damaged").isEmpty)
                try await self.waitForVoters(group)
                #expect(try await client.create("r\(round)").attributes != nil)
            }
            try await self.checkVoter(try await self.follower(group), group, client, files: 20)
        }
    }

    /// Flips a bit in the header of the first segment, which has records: nothing that could be a torn tail.
    @LoopActor private func damageMiddle(_ node: TestGroup.Node) {
        let segment = node.disk.files.first { $0.hasPrefix(Self.directory + "/") }
        #expect(node.disk.corrupt(segment ?? "") { $0[20] ^= 4 })
    }

    @Test @LoopActor func theLeaderChangesMeanwhile() async throws {
        let group = TestGroup(3)
        try await group.start()
        let client = group.client("a")
        try await group.run {
            for number in 0..<20 { _ = try await client.create("f\(number)") }
            let victim = try await self.follower(group)
            group.kill(victim)
            self.wipe(victim)
            try await group.start(victim)
            // Before it can have been admitted, and again in the middle: every time the leader is gone for a while.
            for pause in [0, 200, 400] as [UInt64] {
                await group.world.clock.sleep(nanoseconds: pause * Nanoseconds.millisecond)
                guard let leader = group.nodes.first(where: { $0.server?.isServing ?? false }), leader !== victim else { continue }
                group.kill(leader)
                await group.world.clock.sleep(nanoseconds: 300 * Nanoseconds.millisecond)
                #expect(victim.server?.isServing == false)
                try await group.start(leader)
            }
            try await self.checkVoter(victim, group, client, files: 20)
        }
    }

    @Test @LoopActor func anOlderDiskIsNoticed() async throws {
        let group = TestGroup(3)
        try await group.start()
        let client = group.client("a")
        try await group.run {
            for number in 0..<10 { _ = try await client.create("f\(number)") }
            let victim = try await self.follower(group)
            let leader = try await group.leader()
            try await group.wait { victim.server?.status.durable == leader.server?.status.durable }
            let image = victim.disk.image()
            for number in 10..<20 { _ = try await client.create("f\(number)") }
            try await group.wait { victim.server?.status.durable == leader.server?.status.durable }
            group.kill(victim)
            victim.disk.restore(image)
            victim.loseState()
            try await group.start(victim)
            #expect(victim.server?.isRecovering == false)
            try await group.wait { victim.server?.isRecovering == true }
            try await self.checkVoter(victim, group, client, files: 20)
        }
    }

    /// The machine dies at every operation of the disk on the way from a damaged log to an admitted server.
    @Test @LoopActor func aCrashAtEveryStepOfTheWayBack() async throws {
        var isThrough = false
        var step = 0
        while !isThrough {
            step += 1
            let group = TestGroup(3, seed: UInt64(step))
            try await group.start()
            let client = group.client("a")
            let failing = step
            isThrough = try await group.run {
                for number in 0..<5 { _ = try await client.create("f\(number)") }
                let victim = try await self.follower(group)
                // With a state on disk, so that there is something to replace.
                await victim.server?.stop()
                group.kill(victim)
                self.damageMiddle(victim)
                var count = 0
                victim.disk.fault = { _, _ in
                    count += 1
                    return count >= failing ? .failed : nil
                }
                try? await group.start(victim)
                if victim.server != nil {
                    for _ in 0..<100 where count < failing && victim.server?.isRecovering == true {
                        await group.world.clock.sleep(nanoseconds: 20 * Nanoseconds.millisecond)
                    }
                }
                let isThrough = count < failing
                group.kill(victim)
                victim.disk.fault = nil
                try await group.start(victim)
                try await self.checkVoter(victim, group, client, files: 5)
                #expect(try await !victim.disk.list(Self.directory + ".damaged").isEmpty, "step \(failing)")
                return isThrough
            }
        }
        #expect(step > 10)
    }

    @Test @LoopActor func theOnlyServerDoesNotThrowItsLogAway() async throws {
        let group = TestGroup(1)
        try await group.start()
        let node = group.nodes[0]
        try await group.run {
            group.kill(node)
            self.damageMiddle(node)
            group.canRejoin = false
            await #expect(throws: MetadataServerError.self) { try await group.start(node) }
            await #expect(throws: MetadataServerError.self) { try await group.start(node) }
            self.wipe(node)
            await #expect(throws: MetadataServerError.self) { try await group.start(node) }
        }
    }
}
