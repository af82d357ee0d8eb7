import Metadata
import Model
import Namespace
import OrderedStore
import Runtime
import Testing
import TestSupport

@Suite(.serialized) struct CoherenceTests {
    @Test @LoopActor func exclusiveHolderFlushesBeforeAnotherReads() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let inode = try #require(try await a.create("file").attributes?.inode)
            var recalls: [Recall] = []
            a.onRecall = { recall in
                recalls.append(recall)
                #expect(a.holdsExclusive(inode))
                _ = try? await a.perform(.update(inode: inode, attributes: AttributeChange(mode: 0o600), edits: [], republished: []))
                return RecallAnswer(stillOpen: true)
            }
            #expect(try await b.lookup("file")?.mode == 0o600)
            #expect(recalls == [Recall(inode: inode, keepShared: true)])
            #expect(!a.holdsExclusive(inode))
            #expect(a.holdsLease(inode))
            #expect(b.holdsLease(inode))
        }
    }

    /// A file without a name is there, and is freed when the last of those closes it that have it open.
    @LoopActor private func expectKept(_ inode: InodeID, until holders: [LeaderMetadataClient], in group: TestGroup) async throws {
        let last = try #require(holders.last)
        guard case .attributes = try await last.query(.attributes(inode)).answer else {
            Issue.record("an open file is gone")
            return
        }
        for holder in holders { holder.release([inode]) }
        await group.world.clock.sleep(nanoseconds: 3 * Nanoseconds.second)
        #expect(try await last.query(.attributes(inode)).answer == .failed(.stale))
    }

    /// The name led to another file when the command was sent, which its sender did not have open.
    @Test @LoopActor func whoeverRemovesAFileMayHaveItOpenItself() async throws {
        let group = TestGroup(1) { $0.collectionInterval = Nanoseconds.second }
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let inode = try #require(try await a.create("file").attributes?.inode)
            a.onRecall = { recall in RecallAnswer(stillOpen: recall.inode == inode) }
            _ = try await b.perform(
                .rename(from: .root, name: Name("file")!, to: .root, newName: Name("moved")!, mode: .replace, keep: false))
            guard case .removed(_, let orphaned, _) = try await a.perform(.unlink(parent: .root, name: Name("moved")!, keep: false)) else {
                Issue.record("not removed")
                return
            }
            #expect(orphaned)
            await group.world.clock.sleep(nanoseconds: 3 * Nanoseconds.second)
            try await expectKept(inode, until: [a], in: group)
        }
    }

    @Test @LoopActor func sharedLeasesGoBeforeAChange() async throws {
        let group = TestGroup(1) { $0.collectionInterval = Nanoseconds.second }
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let inode = try #require(try await a.create("file").attributes?.inode)
            #expect(try await b.lookup("file") != nil)
            #expect(b.holdsLease(inode) && b.holdsLease(.root))
            var seen: [InodeID] = []
            b.onRecall = { recall in
                seen.append(recall.inode)
                #expect(!recall.keepShared)
                return RecallAnswer(stillOpen: true)
            }
            // It is open elsewhere, so it becomes an orphan although this client does not keep it.
            guard case .removed(_, let orphaned, _) = try await a.perform(.unlink(parent: .root, name: Name("file")!, keep: false)) else {
                Issue.record("not removed")
                return
            }
            #expect(orphaned)
            #expect(Set(seen) == [.root, inode])
            #expect(!b.holdsLease(inode) && !b.holdsLease(.root))
            try await expectKept(inode, until: [a, b], in: group)
        }
    }

    @Test @LoopActor func listingDoesNotRecallWhatOthersWrite() async throws {
        let group = TestGroup(1)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let inode = try #require(try await a.create("file").attributes?.inode)
            a.onRecall = { recall in
                #expect(recall.inode != inode)
                return RecallAnswer(stillOpen: false)
            }
            let reply = try await b.query(.list(directory: .root, after: nil, limit: 10, detail: .attributes))
            guard case .entries(let entries, true) = reply.answer else {
                Issue.record("\(reply)")
                return
            }
            #expect(entries.map(\.inode) == [inode])
            #expect(entries[0].attributes == nil)
            #expect(reply.leased == [.root])
            #expect(a.holdsExclusive(inode))
        }
    }

    @Test @LoopActor func silentHolderIsFencedAfterItsTimeToLive() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        var lost = false
        a.onSessionLost = { lost = true }
        let inode = try await group.run { try #require(try await a.create("file").attributes?.inode) }
        for node in group.nodes { group.world.fabric.cut("a", node.name) }
        let start = group.world.clock.now
        let until = a.leaseRemaining
        try await group.run {
            #expect(try await b.lookup("file")?.inode == inode)
            let waited = group.world.clock.now - start
            // Not before the holder itself knows that its lease is over.
            #expect(waited >= until)
            #expect(waited < 20 * Nanoseconds.second)
            #expect(!a.holdsLease(inode))
            group.world.fabric.healAll()
            try await group.wait { lost }
            await #expect(throws: MetadataError.self) {
                for _ in 0..<2 { _ = try await a.query(.attributes(inode)) }
                throw MetadataError(.unavailable, "a new session may ask")
            }
        }
    }

    /// It is open from the moment it is made, under the next leader too; afterwards it is freed.
    @Test @LoopActor func temporaryFilesLiveWhileTheyAreOpen() async throws {
        let group = TestGroup(3) { $0.collectionInterval = Nanoseconds.second }
        try await group.start()
        let a = group.client("a")
        let command = Command.createTemporary(parent: .root, mode: 0o600, umask: 0, uid: 1, gid: 2)
        try await group.run {
            let inode = try #require(try await a.perform(command).attributes?.inode)
            #expect(a.holdsExclusive(inode))
            await group.world.clock.sleep(nanoseconds: 3 * Nanoseconds.second)
            group.kill(try await group.leader())
            await group.world.clock.sleep(nanoseconds: 10 * Nanoseconds.second)
            try await expectKept(inode, until: [a], in: group)
        }
    }

    /// Whoever is answered from memory cannot know whether the next leader has freed the file meanwhile, and has it made once more; the first one goes.
    @Test @LoopActor func aTemporaryFileWhoseAnswerIsLostIsLetGo() async throws {
        let group = TestGroup(3) { $0.collectionInterval = Nanoseconds.second }
        try await group.start()
        let a = group.client("a")
        try await group.run {
            let before = try #require(try await a.create("file").attributes?.inode)
            var isCarriedOut = false
            group.beforeAnswer = { name in
                guard name == "a", !isCarriedOut else { return }
                isCarriedOut = true
                await group.world.clock.sleep(nanoseconds: Nanoseconds.minute)
            }
            let first = Task { @LoopActor in try await a.perform(.createTemporary(parent: .root, mode: 0o600, umask: 0, uid: 1, gid: 2)) }
            try await group.wait { isCarriedOut }
            group.kill(try await group.leader())
            #expect(try await first.value == .failed(.stale))
            let made = InodeID(rawValue: before.rawValue + 1)
            await group.world.clock.sleep(nanoseconds: 3 * Nanoseconds.second)
            #expect(try await a.query(.attributes(made)).answer == .failed(.stale))
        }
    }

    /// The answer to a command dies with the leader. Until the next one answers it from memory, somebody else has changed the inode: what the answer shows
    /// is old, and no lease may come with it.
    @Test @LoopActor func aRememberedOutcomeBringsNoLease() async throws {
        var overtaken = 0
        for seed: UInt64 in 1...8 {
            let group = TestGroup(3, seed: seed)
            try await group.start()
            let (a, b) = (group.client("a"), group.client("b"))
            try await group.run {
                let inode = try #require(try await b.create("file").attributes?.inode)
                b.release([inode])
                _ = try await b.lookup("nothing")
                var outdated: [InodeID] = []
                a.onOutdated = { outdated += $0 }
                var isCarriedOut = false
                group.beforeAnswer = { name in
                    guard name == "a", !isCarriedOut else { return }
                    isCarriedOut = true
                    await group.world.clock.sleep(nanoseconds: Nanoseconds.minute)
                }
                func update(_ client: LeaderMetadataClient, _ mode: UInt16) -> Task<Outcome, any Error> {
                    Task { @LoopActor in
                        try await client.perform(.update(inode: inode, attributes: AttributeChange(mode: mode), edits: [], republished: []))
                    }
                }
                let first = update(a, 0o600)
                try await group.wait { isCarriedOut }
                group.kill(try await group.leader())
                let second = update(b, 0o640)
                let early = try #require(try await first.value.attributes)
                #expect(early.mode == 0o600)
                #expect(outdated == [inode])
                if try await #require(second.value.attributes).version > early.version {
                    overtaken += 1
                    #expect(!a.holdsLease(inode))
                }
            }
        }
        #expect(overtaken > 0)
    }

    /// What a recall waits for must not lie behind a command of its own session that waits for somebody else: two could wait for each other for ever.
    @Test @LoopActor func whatWasSubmittedPassesWhatWaitsForOthers() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let mine = try #require(try await a.create("a", kind: .directory).attributes?.inode)
            let file = try #require(try await a.create("file", in: mine).attributes?.inode)
            let theirs = try #require(try await b.create("b", kind: .directory).attributes?.inode)
            _ = try await b.create("other", in: theirs)
            var order: [String] = []
            // Both give nothing back before what they wait for is done.
            var isSubmitted = false
            a.onRecall = { recall in
                if recall.inode == mine, !isSubmitted {
                    isSubmitted = true
                    await withUnsafeContinuation { (done: UnsafeContinuation<Void, Never>) in
                        a.submit(.unlink(parent: mine, name: Name("file")!, keep: false), on: [mine, file], shown: nil) { _ in
                            order.append("submitted")
                            done.resume()
                        }
                    }
                }
                return RecallAnswer(stillOpen: false)
            }
            var blocked: Task<Outcome, any Error>?
            b.onRecall = { recall in
                if recall.inode == theirs {
                    let found = try? await b.lookup("file", in: mine)
                    #expect(found == .some(nil))
                    order.append("answered")
                }
                return RecallAnswer(stillOpen: false)
            }
            blocked = Task { @LoopActor in try await a.perform(.unlink(parent: theirs, name: Name("other")!, keep: false)) }
            _ = try await blocked?.value
            #expect(order == ["submitted", "answered"])
        }
    }

    /// What is made in a directory that is still being made keeps its place among what passes a command that waits for others.
    @Test @LoopActor func whatIsMadeKeepsItsPlace() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let mine = try #require(try await a.create("a", kind: .directory).attributes?.inode)
            let theirs = try #require(try await b.create("b", kind: .directory).attributes?.inode)
            _ = try await b.create("other", in: theirs)
            guard case .reserved(let numbers) = try await a.perform(.reserveInodes(3)) else { return #expect(Bool(false), "no numbers") }
            let made = numbers.map { InodeID(rawValue: $0) }
            var outcomes: [Outcome] = []
            a.onRecall = { recall in
                guard recall.inode == mine, outcomes.isEmpty else { return RecallAnswer(stillOpen: false) }
                await withUnsafeContinuation { (done: UnsafeContinuation<Void, Never>) in
                    for (number, parent, name, kind) in [
                        (made[0], mine, "x", FileKind.directory), (made[1], made[0], "inner", .file), (made[2], mine, "y", .file),
                    ] {
                        let command = Command.createNumbered(
                            number, parent: parent, name: Name(name)!, kind: kind, mode: 0o755, umask: 0, uid: 1, gid: 2, target: [])
                        a.submit(command, on: [parent, number], shown: 5) { result in
                            if case .success(let outcome) = result { outcomes.append(outcome) }
                            if number == made[2] { done.resume() }
                        }
                    }
                    #expect(made.allSatisfy { a.holdsExclusive($0) })
                }
                return RecallAnswer(stillOpen: false)
            }
            b.onRecall = { recall in
                if recall.inode == theirs { #expect((try? await b.lookup("y", in: mine))??.inode == made[2]) }
                return RecallAnswer(stillOpen: false)
            }
            _ = try await a.perform(.unlink(parent: theirs, name: Name("other")!, keep: false))
            #expect(outcomes.compactMap { $0.attributes?.inode } == made, "\(outcomes)")
            #expect(try await b.lookup("inner", in: made[0])?.inode == made[1])
        }
    }

    /// What nobody waits for is kept back for a few milliseconds, so that more goes together.
    @Test @LoopActor func whatIsSubmittedIsGathered() async throws {
        let group = TestGroup(3)
        try await group.start()
        let a = group.client("a")
        try await group.run {
            let mine = try #require(try await a.create("a", kind: .directory).attributes?.inode)
            guard case .reserved(var numbers) = try await a.perform(.reserveInodes(64)) else { return #expect(Bool(false), "no numbers") }
            /// Makes files. Returns the nanoseconds after which all outcomes are known.
            @LoopActor func make(_ count: Int, hastens: Bool) async -> UInt64 {
                let start = group.world.clock.now
                await withUnsafeContinuation { (done: UnsafeContinuation<Void, Never>) in
                    var left = count
                    for _ in 0..<count {
                        let number = InodeID(rawValue: numbers.removeFirst())
                        a.submit(
                            .createNumbered(
                                number, parent: mine, name: Name("\(number)")!, kind: .file, mode: 0o644, umask: 0, uid: 1, gid: 2, target: []),
                            on: [mine, number], shown: 5
                        ) { _ in
                            left -= 1
                            if left == 0 { done.resume() }
                        }
                    }
                    if hastens { a.hasten() }
                }
                return group.world.clock.now - start
            }
            let patience = LeaderMetadataClient.gatheringTime
            #expect(await make(2, hastens: false) >= patience)
            #expect(await make(2, hastens: true) < patience)
            #expect(await make(LeaderMetadataClient.gatheredMin, hastens: false) < patience)
            // Nothing is left over from what was hastened.
            #expect(await make(2, hastens: false) >= patience)
        }
    }

    /// A command that nobody answered in time may be carried out later: until that is known, nothing of what it touches counts as leased.
    @Test @LoopActor func whatWasGivenUpIsNotForgotten() async throws {
        let group = TestGroup(1)
        try await group.start()
        let (a, b) = (group.client("a", deadline: 2 * Nanoseconds.second), group.client("b"))
        try await group.run {
            let file = try #require(try await b.create("file").attributes?.inode)
            b.onRecall = { recall in
                if recall.inode == file { await group.world.clock.sleep(nanoseconds: 4 * Nanoseconds.second) }
                return RecallAnswer(stillOpen: false)
            }
            var outdated: [InodeID] = []
            a.onOutdated = { outdated += $0 }
            await #expect(throws: MetadataError.self) { try await a.perform(.unlink(parent: .root, name: Name("file")!, keep: false)) }
            #expect(try await a.lookup("other") == nil)
            #expect(!a.holdsLease(.root))
            try await group.wait { !outdated.isEmpty }
            #expect(outdated.contains(file) && outdated.contains(.root))
            #expect(try await a.lookup("file") == nil)
            #expect(a.holdsLease(.root))
            #expect(try await a.create("file").attributes != nil)
        }
    }

    /// Of a directory that a session holds exclusively, what nobody else has comes exclusively.
    @Test @LoopActor func filesOfAHeldDirectoryComeExclusively() async throws {
        let group = TestGroup(1)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let directory = try #require(try await a.create("d", kind: .directory).attributes?.inode)
            var files: [InodeID] = []
            for name in ["x", "y", "z"] { files.append(try #require(try await a.create(name, in: directory).attributes?.inode)) }
            b.onRecall = { recall in RecallAnswer(stillOpen: false) }
            a.release([files[0], files[1]])
            await group.world.clock.sleep(nanoseconds: Nanoseconds.second)
            _ = try await b.query(.list(directory: directory, after: nil, limit: 10, detail: .attributes))
            #expect(b.holdsLease(files[0]) && !b.holdsExclusive(files[0]))
            _ = try await a.acquireExclusive(directory)
            _ = try await a.acquireExclusive(files[2])
            _ = try await b.acquireExclusive(directory)
            let reply = try await b.query(.list(directory: directory, after: nil, limit: 10, detail: .attributes))
            #expect(Set(reply.leased).isSuperset(of: files[0..<2]))
            #expect(b.holdsExclusive(files[0]) && b.holdsExclusive(files[1]) && !b.holdsExclusive(files[2]))
            #expect(a.holdsExclusive(files[2]))
        }
    }

    @Test @LoopActor func twoThatWantWhatTheOtherHasDoNotBlockEachOther() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let first = try #require(try await a.create("first").attributes?.inode)
            let second = try #require(try await b.create("second").attributes?.inode)
            // Both have something to flush in what the other one removes.
            for (client, inode) in [(a, first), (b, second)] {
                client.onRecall = { recall in
                    if recall.inode == inode, client.holdsExclusive(inode) {
                        _ = try? await client.perform(
                            .update(inode: inode, attributes: AttributeChange(mode: 0o600), edits: [], republished: []))
                    }
                    return RecallAnswer(stillOpen: false)
                }
            }
            let start = group.world.clock.now
            async let one = a.perform(.unlink(parent: .root, name: Name("second")!, keep: false))
            async let other = b.perform(.unlink(parent: .root, name: Name("first")!, keep: false))
            guard case .removed = try await one, case .removed = try await other else {
                Issue.record("not removed")
                return
            }
            #expect(group.world.clock.now - start < 5 * Nanoseconds.second)
        }
    }

    @Test @LoopActor func exclusiveLeaseOutlivesTheLeader() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            let inode = try #require(try await a.create("file").attributes?.inode)
            _ = try await b.lookup("other")
            var recalls: [InodeID] = []
            a.onRecall = { recall in
                recalls.append(recall.inode)
                return RecallAnswer(stillOpen: false)
            }
            let start = group.world.clock.now
            group.kill(try await group.leader())
            let leader = try await group.leader()
            #expect(group.world.clock.now - start < 8 * Nanoseconds.second)
            #expect(leader.server?.status.sessions == 2)
            #expect(a.holdsExclusive(inode))
            #expect(try await b.lookup("file")?.inode == inode)
            #expect(recalls.contains(inode))
            #expect(!a.holdsExclusive(inode))
        }
    }

    /// Keys and values of a node's state.
    @LoopActor private func rows(_ node: TestGroup.Node) throws -> [[[UInt8]]] {
        var rows: [[[UInt8]]] = []
        try node.stores?.current?.scan(from: [], to: nil) { key, value in
            rows.append([Array(key), Array(value)])
            return true
        }
        return rows
    }

    @Test @LoopActor func laggingServerGetsASnapshot() async throws {
        let group = TestGroup(3) { options in
            options.compactEntries = 40
            options.keptEntries = 5
        }
        try await group.start()
        let client = group.client("a")
        try await group.run {
            let leader = try await group.leader()
            let behind = try #require(group.nodes.first { $0 !== leader })
            group.kill(behind)
            for number in 0..<200 { _ = try await client.create("f\(number)") }
            try await group.start(behind)
            try await group.wait { behind.server?.status.applied == leader.server?.status.applied }
            #expect((behind.stores?.adoptions ?? 0) >= 1)
            #expect(try rows(behind) == rows(leader))
            // And it counts as a voter again: the other one may go.
            let third = try #require(group.nodes.first { $0 !== leader && $0 !== behind })
            group.kill(third)
            #expect(try await client.create("after").attributes != nil)
            // Its new log and state fit together.
            group.kill(behind)
            try await group.start(behind)
            #expect(try await client.create("again").attributes != nil)
        }
    }

    /// Which of the two stores a restart finds is not known, so the server must not go on with either.
    @Test(arguments: [MemoryDisk.Operation.rename, .syncDirectory]) @LoopActor
    func aServerStopsIfASnapshotCannotBePutInPlace(operation: MemoryDisk.Operation) async throws {
        let group = TestGroup(3) { options in
            options.compactEntries = 40
            options.keptEntries = 5
        }
        try await group.start()
        let client = group.client("a")
        try await group.run {
            let leader = try await group.leader()
            let behind = try #require(group.nodes.first { $0 !== leader })
            group.kill(behind)
            for number in 0..<100 { _ = try await client.create("f\(number)") }
            try await group.start(behind)
            behind.disk.fault = { failing, path in failing == operation && path.hasPrefix("/data/meta") ? .failed : nil }
            try await group.wait { behind.server?.hasFailed ?? false }
            behind.disk.fault = nil
            #expect(try await client.create("meanwhile").attributes != nil)
            group.kill(behind)
            try await group.start(behind)
            try await group.wait { behind.server?.status.applied == leader.server?.status.applied }
            #expect(try rows(behind) == rows(leader))
        }
    }

    @Test @LoopActor func pagesOfAScanShowOneMoment() async throws {
        let group = TestGroup(1)
        try await group.start()
        let client = group.client("a")
        let reader = group.client("r", hasSession: false, role: .administrator)
        try await group.run {
            for number in 0..<20 { _ = try await client.create("f\(number)") }
            let page = try await reader.scan(after: nil)
            #expect(page.handle == 0)
            #expect(page.rows.count >= 41)
            #expect(page.rows.map(\.key.count).allSatisfy { $0 > 0 })
        }
    }
}
