import Metadata
import Model
import Namespace
import Runtime
import Testing
import TestSupport

@Suite(.serialized) struct ServiceTests {
    @Test @LoopActor func oneServerDoesWhatItIsTold() async throws {
        let group = TestGroup(1)
        try await group.start()
        try await group.run {
            let client = group.client("a")
            let made = try await client.create("file").attributes
            let inode = try #require(made?.inode)
            #expect(client.holdsExclusive(inode))
            #expect(client.holdsLease(.root))
            #expect(try await client.lookup("file")?.inode == inode)
            #expect(try await client.lookup("none") == nil)
            #expect(try await client.create("file") == .failed(.exists))
            #expect(try await client.perform(.setXattr(inode: inode, name: [1], value: [2], mode: .any, dropsSetGID: false)).attributes?.inode == inode)
            #expect(client.holdsExclusive(inode))
            client.release([inode])
            #expect(!client.holdsLease(inode))
            #expect(try await client.acquireExclusive(inode).inode == inode)
            #expect(client.holdsExclusive(inode))
            await client.close()
            #expect(!client.holdsLease(inode))
        }
    }

    @Test @LoopActor func clientMayNotSendWhatIsTheLeaders() async throws {
        let group = TestGroup(1)
        try await group.start()
        try await group.run {
            let client = group.client("a")
            for command in [Command.reap([.root]), .collect([]), .openSession(SessionID(rawValue: 5), name: "x"), .setRecord(key: "k", expectedVersion: 0, value: [1])] {
                await #expect(throws: MetadataError.self) { try await client.perform(command) }
            }
            let daemon = group.client("d", hasSession: false, role: .administrator)
            #expect(try await daemon.record("k").version == 0)
            let set = try await daemon.setRecord("k", [1], expectedVersion: 0)
            #expect(set.isSet)
            #expect(try await daemon.setRecord("k", [2], expectedVersion: 0) == (false, set.version))
            #expect(try await daemon.record("k").value == [1])
            #expect(try await daemon.records(prefix: "") == ["k"])
        }
    }

    @Test @LoopActor func restartOfAllKeepsEverythingAcknowledged() async throws {
        let group = TestGroup(3)
        try await group.start()
        let client = group.client("a")
        try await group.run {
            for number in 0..<50 {
                let outcome = try await client.create("f\(number)")
                #expect(outcome.attributes != nil)
            }
        }
        for node in group.nodes { group.kill(node) }
        try await group.run {
            for node in group.nodes { try await group.start(node) }
            for number in 0..<50 { #expect(try await client.lookup("f\(number)") != nil) }
            #expect(try await client.create("f0") == .failed(.exists))
            #expect(try await client.create("new").attributes != nil)
        }
    }

    /// Clients that ask while a leader does not know yet whether it still is one: the second question waits for the answer to the first.
    @Test @LoopActor func manyQuestionsToALeaderThatMustAskItsFollowers() async throws {
        let group = TestGroup(3)
        try await group.start()
        let client = group.client("a")
        try await group.run { _ = try await client.create("file") }
        for round in 0..<5 {
            for node in group.nodes { group.kill(node) }
            try await group.run {
                let questions = (0..<20).map { number in
                    Task { @LoopActor in try await group.client("d\(round)-\(number)", hasSession: false, role: .administrator).record("k").version }
                }
                for node in group.nodes { try await group.start(node) }
                for question in questions { #expect(try await question.value == 0) }
            }
        }
    }

    @Test @LoopActor func commandsOnceAndInOrderAcrossTheLeadersDeath() async throws {
        let group = TestGroup(3)
        try await group.start()
        let client = group.client("a")
        try await group.run {
            _ = try await client.create("first")
            // All at once: the order of the calls is the order of the effects, so each rename finds what the one before made.
            _ = try await client.create("n0")
            var tasks: [Task<Outcome, any Error>] = []
            for number in 0..<300 {
                tasks.append(
                    Task { @LoopActor in
                        try await client.perform(
                            .rename(
                                from: .root, name: Name("n\(number)")!, to: .root, newName: Name("n\(number + 1)")!, mode: .noReplace,
                                keep: false))
                    })
                if number == 150 {
                    await group.world.clock.sleep(nanoseconds: Nanoseconds.millisecond)
                    group.kill(try await group.leader())
                }
            }
            for task in tasks {
                guard case .renamed = try await task.value else {
                    Issue.record("a rename was lost or done twice: \(try await task.value)")
                    return
                }
            }
            #expect(try await client.lookup("n300") != nil)
            #expect(try await client.lookup("n0") == nil)
        }
    }

    @Test @LoopActor func readsSeeOtherClientsWritesAtOnce() async throws {
        let group = TestGroup(3, seed: 4)
        try await group.start()
        let clients = [group.client("a"), group.client("b")]
        try await group.run {
            var model: [String: InodeID] = [:]
            let random = SeededRandom(seed: 9)
            for step in 0..<3000 {
                let client = clients[Int(random.next() % 2)]
                let name = "f\(random.next() % 6)"
                switch random.next() % 4 {
                case 0:
                    let outcome = try await client.create(name)
                    #expect((outcome.attributes == nil) == (model[name] != nil), "step \(step)")
                    if let made = outcome.attributes { model[name] = made.inode }
                case 1:
                    let outcome = try await client.perform(.unlink(parent: .root, name: Name(name)!, keep: false))
                    if let known = model.removeValue(forKey: name) {
                        guard case .removed(let attributes, _, _) = outcome else {
                            Issue.record("step \(step): \(outcome)")
                            return
                        }
                        #expect(attributes.inode == known)
                    } else {
                        #expect(outcome == .failed(.notFound), "step \(step)")
                    }
                case 2 where model[name] != nil:
                    guard let inode = model[name] else { return }
                    let mode = UInt16(random.next() % 0o777)
                    _ = try await client.perform(.update(inode: inode, attributes: AttributeChange(mode: mode), edits: [], republished: []))
                    let other = clients[client === clients[0] ? 1 : 0]
                    #expect(try await other.lookup(name)?.mode == mode, "step \(step)")
                default:
                    #expect(try await client.lookup(name)?.inode == model[name], "step \(step)")
                }
            }
        }
    }
}
