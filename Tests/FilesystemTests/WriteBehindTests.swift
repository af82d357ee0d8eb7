import Blocks
import Bytes
import Digest
import Filesystem
import FilesystemWorld
import Glibc
import Metadata
import Model
import Namespace
import Runtime
import TestSupport
import Testing

@Suite @LoopActor struct WriteBehindTests {
    @Test func changesAreCommittedByAge() async throws {
        let world = try World()
        try await world.mount.put("a", [1, 2, 3])
        #expect(world.mount.metadata.updates.isEmpty)
        await world.clock.advance(by: 7 * Nanoseconds.second)
        #expect(world.mount.metadata.updates.count == 1)
        await world.clock.advance(by: 60 * Nanoseconds.second)
        #expect(world.mount.metadata.updates.count == 1)
    }

    @Test func attributesAndContentTravelTogether() async throws {
        let world = try World(mounts: 2)
        let (inode, handle) = try await world.mount.create("a")
        try await world.mount.write(inode, handle, at: 0, [1])
        _ = try await world.mount.files.setAttributes(
            inode, AttributeChange(mode: 0o400, accessed: 5, modified: 6), size: nil, handle: nil)
        try await world.mount.sync(inode, handle)
        #expect(world.leader.commands.count == 2)
        let seen = try await world.mounts[1].lookup("a")
        #expect(seen.mode == 0o400 && seen.modified == 6 && seen.accessed == 5 && seen.size == 1)
        try await world.mount.close(inode, handle)
    }

    /// The close was told that all is well, and then the session was lost with the content.
    @Test func aFileWhoseContentWasLostReplacesNothing() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        try await mount.put("f", [1, 2, 3])
        try await mount.files.syncAll()
        try await mount.put("f.tmp", [4, 5, 6])
        mount.metadata.loseSession()
        await #expect(throws: Errno.io) { try await mount.files.rename(.root, Array("f.tmp".utf8), to: .root, Array("f".utf8), mode: .replace) }
        #expect(try await world.mounts[1].contents("f") == [1, 2, 3])
        // Told once; and written anew it is as good as any.
        try await mount.put("g.tmp", [7])
        try await mount.files.rename(.root, Array("g.tmp".utf8), to: .root, Array("f".utf8), mode: .replace)
        #expect(try await world.mounts[1].contents("f") == [7])
    }

    /// A mount that was frozen comes back in the middle of a commit: its leases do not count when the answer arrives, and count again a moment later.
    @Test func whatIsCommittedWhileLeasesAreLateIsNotForgotten() async throws {
        let world = try World()
        let mount = world.mount
        let (inode, handle) = try await mount.create("f", flags: O_RDWR | O_APPEND)
        try await mount.write(inode, handle, at: 0, [1, 2])
        mount.metadata.beforeAnswer = { mount.metadata.isLate = true }
        try await mount.sync(inode, handle)
        mount.metadata.beforeAnswer = nil
        mount.metadata.isLate = false
        #expect(try await mount.read(inode, handle) == [1, 2])
        #expect(try await mount.files.attributes(inode).attributes.size == 2)
        try await mount.write(inode, handle, at: 0, [3])
        try await mount.sync(inode, handle)
        #expect(try await mount.read(inode, handle) == [1, 2, 3])
        try await mount.close(inode, handle)
    }

    /// The same for names: an entry that was made then is not taken for absent later.
    @Test func namesThatAreMadeWhileLeasesAreLateAreNotForgotten() async throws {
        let world = try World()
        let mount = world.mount
        #expect(Set(try await mount.names()) == [".", ".."])
        await #expect(throws: Errno.notFound) { _ = try await mount.lookup("d") }
        mount.metadata.beforeAnswer = { mount.metadata.isLate = true }
        _ = try await mount.makeDirectory("d")
        mount.metadata.beforeAnswer = nil
        mount.metadata.isLate = false
        #expect(try await mount.lookup("d").kind == .directory)
        #expect(Set(try await mount.names()) == [".", "..", "d"])
        #expect(try await mount.files.attributes(.root).attributes.links == 3)
    }

    /// The leader changed before the answer came, and somebody else removed what was made before the next one answered from memory.
    @Test(arguments: [true, false])
    func anOutcomeOfThePastIsNotCached(isFile: Bool) async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        mount.metadata.beforeAnswer = {
            world.leader.expel(mount.metadata)
            let name = Array("f".utf8)
            if isFile { try? await world.mounts[1].files.unlink(.root, name) } else { try? await world.mounts[1].files.removeDirectory(.root, name) }
            _ = try? await mount.lookup("g")
            #expect(mount.metadata.holdsLease(.root))
        }
        mount.metadata.isRemembered = true
        if isFile { _ = try? await mount.create("f") } else { _ = try await mount.makeDirectory("f") }
        mount.metadata.beforeAnswer = nil
        mount.metadata.isRemembered = false
        await #expect(throws: Errno.notFound) { _ = try await mount.lookup("f") }
        #expect(try await mount.files.attributes(.root).attributes.links == 2)
    }

    /// A question without a lease was answered before the commit, and the answer arrives after it.
    @Test(arguments: ["attributes", "lookup", "read"])
    func anAnswerThatACommitOvertookIsNotBelieved(question: String) async throws {
        let world = try World()
        let mount = world.mount
        let (inode, handle) = try await mount.create("f")
        try await mount.write(inode, handle, at: 0, [1, 2])
        mount.metadata.isLate = true
        mount.metadata.beforeReply = { try? await mount.sync(inode, handle) }
        switch question {
        case "attributes": #expect(try await mount.files.attributes(inode).attributes.size == 2)
        case "lookup": #expect(try await mount.lookup("f").size == 2)
        default: #expect(try await mount.read(inode, handle) == [1, 2])
        }
        mount.metadata.isLate = false
        try await mount.close(inode, handle)
    }

    @Test func aRenamedFileIsNeverSeenEmpty() async throws {
        let world = try World(mounts: 2, seed: 3, jittery: true)
        let random = SeededRandom(seed: 8)
        var versions: Set<[UInt8]> = []
        let first = random.bytes(9000)
        versions.insert(first)
        try await world.mounts[0].put("f", first)
        let contents = (0..<15).map { _ in random.bytes(1 + random.below(20_000)) }
        for content in contents { versions.insert(content) }
        let writer = Task { @LoopActor in
            for content in contents {
                try await world.mounts[0].put("f.tmp", content)
                try await world.mounts[0].files.rename(.root, Array("f.tmp".utf8), to: .root, Array("f".utf8), mode: .replace)
            }
        }
        var reads = 0
        let mount = world.mounts[1]
        while reads < 40 {
            // An inode may be gone between the lookup and the open, as with any filesystem without a lock around both.
            if let bytes = try? await mount.contents("f") {
                #expect(versions.contains(bytes))
                reads += 1
            }
        }
        try await writer.value
        #expect(try await mount.contents("f") == contents.last)
    }

    @Test func theSourceIsCommittedBeforeTheRename() async throws {
        let world = try World()
        try await world.mount.put("a", [UInt8](repeating: 1, count: 10_000))
        try await world.mount.files.rename(.root, Array("a".utf8), to: .root, Array("b".utf8), mode: .replace)
        let kinds = world.leader.commands.compactMap { command -> String? in
            switch command {
            case .update: "update"
            case .rename: "rename"
            default: nil
            }
        }
        #expect(kinds == ["update", "rename"])
    }

    @Test func noSpaceIsReportedOncePerHandleAndTheDataSurvives() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let (inode, first) = try await mount.create("a")
        let second = try await mount.files.open(inode, flags: O_RDWR).handle
        let bytes = SeededRandom(seed: 1).bytes(100_000)
        try await mount.write(inode, first, at: 0, bytes)
        world.blocks.putFailure = .noSpace
        await world.clock.advance(by: 7 * Nanoseconds.second)
        await #expect(throws: Errno.noSpace) { try await mount.files.flush(inode, handle: first) }
        try await mount.files.flush(inode, handle: first)
        await #expect(throws: Errno.noSpace) { try await mount.files.flush(inode, handle: second) }
        await #expect(throws: Errno.noSpace) { try await mount.sync(inode, first) }
        // A write straight after a failure for want of room is refused.
        await #expect(throws: Errno.noSpace) { try await mount.write(inode, first, at: 0, [1]) }
        #expect(try await mount.read(inode, first) == bytes)
        world.blocks.putFailure = nil
        await world.clock.advance(by: 2 * Nanoseconds.second)
        try await mount.sync(inode, first)
        #expect(try await world.mounts[1].contents("a") == bytes)
        try await mount.close(inode, first)
        try await mount.close(inode, second)
    }

    @Test func reportedChangesEndWithTheLastClose() async throws {
        let world = try World()
        let mount = world.mount
        let (inode, handle) = try await mount.create("a")
        try await mount.write(inode, handle, at: 0, [UInt8](repeating: 1, count: 100_000))
        world.blocks.putFailure = .noSpace
        await #expect(throws: Errno.noSpace) { try await mount.sync(inode, handle) }
        try await mount.close(inode, handle)
        world.blocks.putFailure = nil
        #expect(try await mount.lookup("a").size == 0)
        try await mount.files.syncAll()
    }

    @Test func unreportedChangesAreTriedAgain() async throws {
        let world = try World(mounts: 2)
        let bytes = SeededRandom(seed: 2).bytes(50_000)
        try await world.mounts[0].put("a", bytes)
        world.blocks.putFailure = .unavailable
        await world.clock.advance(by: 10 * Nanoseconds.second)
        await #expect(throws: Errno.io) { try await world.mounts[0].files.syncAll() }
        world.blocks.putFailure = nil
        await world.clock.advance(by: 60 * Nanoseconds.second)
        #expect(world.mounts[0].metadata.updates.count == 1)
        #expect(try await world.mounts[1].contents("a") == bytes)
    }

    @Test func aRecallThatCannotCommitGivesUpWithAnError() async throws {
        let world = try World(mounts: 2)
        let (inode, handle) = try await world.mounts[0].create("a")
        try await world.mounts[0].write(inode, handle, at: 0, [UInt8](repeating: 1, count: 100_000))
        world.blocks.putFailure = .unavailable
        let reader = Task { @LoopActor in try await world.mounts[1].contents("a") }
        await world.clock.advance(by: 20 * Nanoseconds.second)
        #expect(try await reader.value == [])
        world.blocks.putFailure = nil
        await #expect(throws: Errno.io) { try await world.mounts[0].files.flush(inode, handle: handle) }
        #expect(try await world.mounts[0].read(inode, handle) == [])
        try await world.mounts[0].close(inode, handle)
    }

    @Test func aLostSessionIsReportedOnce() async throws {
        let world = try World(mounts: 2)
        let (inode, handle) = try await world.mounts[0].create("a")
        try await world.mounts[0].write(inode, handle, at: 0, [1, 2])
        try await world.mounts[0].sync(inode, handle)
        try await world.mounts[0].write(inode, handle, at: 2, [3])
        world.mounts[0].metadata.loseSession()
        await #expect(throws: Errno.io) { try await world.mounts[0].sync(inode, handle) }
        try await world.mounts[0].sync(inode, handle)
        #expect(try await world.mounts[0].read(inode, handle) == [1, 2])
        try await world.mounts[0].close(inode, handle)
    }

    @Test func collectedBlocksArePutAgain() async throws {
        let world = try World(mounts: 2)
        let (inode, handle) = try await world.mounts[0].create("a")
        let bytes = SeededRandom(seed: 4).bytes(2 << 20)
        try await world.mounts[0].write(inode, handle, at: 0, bytes)
        await settle()
        let keys = Array(world.blocks.stored.keys)
        #expect(keys.count == 2)
        world.blocks.removeAll()
        world.mounts[0].metadata.refusals = [.failed(.collected(keys))]
        try await world.mounts[0].sync(inode, handle)
        guard case .update(_, _, _, let republished) = world.mounts[0].metadata.updates.last else {
            Issue.record("no update")
            return
        }
        #expect(Set(republished) == Set(keys))
        #expect(try await world.mounts[1].contents("a") == bytes)
        try await world.mounts[0].close(inode, handle)
    }

    @Test func lostBlocksAreErrorsNeverGarbage() async throws {
        let world = try World(mounts: 2)
        try await world.mounts[0].put("a", SeededRandom(seed: 4).bytes(100_000))
        try await world.mounts[0].files.syncAll()
        world.blocks.removeAll()
        await #expect(throws: Errno.io) { try await world.mounts[1].contents("a") }
    }

    @Test func unreachableLeaderIsAnError() async throws {
        let world = try World()
        try await world.mount.put("a", [1])
        world.mount.metadata.failure = MetadataError(.unavailable, "ordered by the test")
        await #expect(throws: Errno.io) { try await world.mount.lookup("a") }
        await #expect(throws: Errno.io) { try await world.mount.files.syncAll() }
        world.mount.metadata.failure = nil
        await world.clock.advance(by: 60 * Nanoseconds.second)
        #expect(try await world.mount.contents("a") == [1])
        #expect(world.mount.metadata.updates.count == 1)
    }

    @Test func writersWaitForRoom() async throws {
        let world = try World {
            $0.blockSize = 64 << 10
            $0.cacheBytes = 4 << 20
            $0.dirtyBytes = 1 << 20
            $0.checkpointBytes = 512 << 10
        }
        let gate = Gate()
        world.blocks.gate = gate
        let bytes = SeededRandom(seed: 3).bytes(8 << 20)
        let (inode, handle) = try await world.mount.create("a")
        var written = 0
        let writer = Task { @LoopActor in
            for start in stride(from: 0, to: bytes.count, by: 64 << 10) {
                try await world.mount.write(inode, handle, at: UInt64(start), Array(bytes[start..<start + 64 << 10]))
                written = start + 64 << 10
            }
        }
        await settle(turns: 2000)
        #expect(written <= 1 << 20 && written >= 512 << 10)
        #expect(world.mount.files.memory.dirty <= 1 << 20)
        gate.open()
        try await writer.value
        try await world.mount.sync(inode, handle)
        #expect(world.mount.files.memory.dirty == 0)
        #expect(world.mount.files.memory.clean <= 4 << 20)
        #expect(try await world.mount.read(inode, handle) == bytes)
        #expect(world.mount.files.memory.clean <= 4 << 20)
        #expect(world.blocks.putsAtOnceMax <= 32)
        try await world.mount.close(inode, handle)
    }

    @Test func sequentialReadersGetEachBlockOnce() async throws {
        let world = try World(mounts: 2, jittery: true)
        let bytes = SeededRandom(seed: 3).bytes(20 << 20)
        try await world.mounts[0].put("a", bytes)
        try await world.mounts[0].files.syncAll()
        let (inode, handle) = try await world.mounts[1].open("a")
        var read: [UInt8] = []
        while read.count < bytes.count { read += try await world.mounts[1].read(inode, handle, at: UInt64(read.count), 128 << 10) }
        #expect(read == bytes)
        #expect(world.blocks.gets == 20)
        // A large file is left behind: the kernel's pages hold what was read, and memory is used again.
        #expect(world.mounts[1].files.memory.clean <= 9 << 20)
        let small = Array(bytes[..<(2 << 20)])
        try await world.mounts[0].put("b", small)
        try await world.mounts[0].files.syncAll()
        let before = world.blocks.gets
        // A second reader of a small one finds everything in memory.
        for _ in 0..<2 { #expect(try await world.mounts[1].contents("b") == small) }
        #expect(world.blocks.gets == before + 2)
        try await world.mounts[1].close(inode, handle)
    }

    @Test func randomReadersGetOnlyWhatTheyNeed() async throws {
        let world = try World(mounts: 2)
        let bytes = SeededRandom(seed: 3).bytes(20 << 20)
        try await world.mounts[0].put("a", bytes)
        try await world.mounts[0].files.syncAll()
        let (inode, handle) = try await world.mounts[1].open("a")
        for block in [17, 3, 12, 8] {
            let place = block << 20 + 5000
            #expect(try await world.mounts[1].read(inode, handle, at: UInt64(place), 4096) == Array(bytes[place..<place + 4096]))
        }
        #expect(world.blocks.bytesGot == 4 * 4096)
        // After a few parts of one block the whole is worth its price.
        for part in 0..<23 { _ = try await world.mounts[1].read(inode, handle, at: UInt64(3 << 20 + 90_000 + part * 8192), 4096) }
        #expect(world.blocks.bytesGot == 27 * 4096)
        _ = try await world.mounts[1].read(inode, handle, at: 3 << 20 + 300_000, 4096)
        #expect(world.blocks.bytesGot == 27 * 4096 + 1 << 20)
        try await world.mounts[1].close(inode, handle)
    }

    @Test func aCommitUnderWayWhenTheSessionIsLostIsReportedOnce() async throws {
        let world = try World()
        let gate = Gate()
        world.blocks.gate = gate
        let (inode, handle) = try await world.mount.create("a")
        try await world.mount.write(inode, handle, at: 0, [UInt8](repeating: 1, count: 100_000))
        let sync = Task { @LoopActor in try await world.mount.sync(inode, handle) }
        await settle()
        #expect(gate.waiting == 1)
        world.mount.metadata.loseSession()
        gate.open()
        await #expect(throws: Errno.io) { try await sync.value }
        try await world.mount.files.flush(inode, handle: handle)
        #expect(world.mount.metadata.updates.isEmpty)
        #expect(world.mount.files.memory.dirty == 0)
        try await world.mount.close(inode, handle)
    }

    @Test func aFailedCommitKeepsOpenDataApart() async throws {
        let world = try World(mounts: 2)
        let random = SeededRandom(seed: 12)
        var bytes = [UInt8](repeating: 0, count: 60_000)
        func write(_ range: Range<Int>) async throws {
            let content = random.bytes(range.count)
            bytes.replaceSubrange(range, with: content)
            try await world.mount.write(inode, handle, at: UInt64(range.lowerBound), content)
        }
        let (inode, handle) = try await world.mount.create("a")
        // One buffer with three runs: the middle is punched out.
        try await write(0..<60_000)
        for hole in [10_000..<20_000, 30_000..<40_000] {
            let offset = UInt64(hole.lowerBound)
            try await world.mount.files.allocate(inode, handle: handle, mode: 3, offset: offset, length: UInt64(hole.count))
            bytes.replaceSubrange(hole, with: [UInt8](repeating: 0, count: hole.count))
        }
        world.blocks.putFailure = .unavailable
        await #expect(throws: Errno.io) { try await world.mount.sync(inode, handle) }
        world.blocks.putFailure = nil
        try await write(9_000..<11_000)
        try await write(25_000..<32_000)
        #expect(try await world.mount.read(inode, handle) == bytes)
        try await world.mount.sync(inode, handle)
        #expect(try await world.mounts[1].contents("a") == bytes)
        try await world.mount.close(inode, handle)
    }

    @Test func noFilesAreOpenedForWritingByReaders() async throws {
        let world = try World()
        try await world.mount.put("a", [1])
        let (inode, handle) = try await world.mount.open("a", flags: O_RDONLY)
        await #expect(throws: Errno.badDescriptor) { try await world.mount.write(inode, handle, at: 0, [2]) }
        #expect(try await world.mount.files.read(inode, handle: handle, offset: .max, count: 10).isEmpty)
        #expect(try await world.mount.read(inode, handle, at: 0, .max) == [1])
        try await world.mount.close(inode, handle)
    }
}
