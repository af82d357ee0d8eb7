@testable import Filesystem
import FilesystemWorld
import Glibc
import Metadata
import Model
import Namespace
import Runtime
import TestSupport
import Testing

/// Changes of names that nobody waits for.
@Suite @LoopActor struct NameWriteBehindTests {
    /// A directory with the files a and b, made here; what the first mount submits is held up until `gate` happens.
    private struct Held {
        let world: World
        let directory: InodeID
        let files: [InodeID]
        let gate = AsyncEvent()

        @LoopActor init(mounts: Int = 1) async throws {
            world = try World(mounts: mounts)
            let mount = world.mount
            directory = try await mount.makeDirectory("d")
            var files: [InodeID] = []
            for name in ["a", "b"] {
                let (inode, handle) = try await mount.create(name, in: directory)
                try await mount.close(inode, handle)
                files.append(inode)
            }
            self.files = files
            // Numbers for new inodes have come.
            await settle()
            let gate = gate
            mount.metadata.submitGate = { await gate.wait() }
            world.leader.resetCounts()
        }

        @LoopActor func rename(_ name: String, _ newName: String) async throws {
            try await world.mount.files.rename(directory, Array(name.utf8), to: directory, Array(newName.utf8), mode: .replace)
        }

        @LoopActor func unlink(_ name: String) async throws { try await world.mount.files.unlink(directory, Array(name.utf8)) }

        /// Starts something that must not end before the gate is open.
        @LoopActor func afterGate<Value: Sendable>(_ body: @escaping @LoopActor () async throws -> Value) async throws -> Value {
            var hasEnded = false
            let task = Task { @LoopActor in
                defer { hasEnded = true }
                return try await body()
            }
            await settle()
            #expect(!hasEnded, "it did not wait")
            gate.happen()
            return try await task.value
        }
    }

    @Test func theyAreDoneHereAtOnce() async throws {
        let held = try await Held()
        let mount = held.world.mount
        try await held.rename("a", "c")
        try await held.unlink("b")
        #expect(try await mount.files.attributes(held.directory).attributes.entries == 1)
        for name in ["a", "b"] { await #expect(throws: Errno.notFound) { try await mount.lookup(name, in: held.directory) } }
        #expect(held.world.leader.commands.isEmpty)
        #expect(try await held.afterGate { try await mount.lookup("c", in: held.directory).inode } == held.files[0])
        try await mount.files.syncDirectory(held.directory)
        #expect(held.world.leader.commands.count == 2)
        #expect(try await mount.names(held.directory) == [".", "..", "c"])
    }

    @Test func emptyDirectoriesAreRemovedAtOnce() async throws {
        let held = try await Held()
        let mount = held.world.mount
        for name in ["a", "b"] { try await held.unlink(name) }
        // The root is not held.
        try await held.afterGate { try await mount.files.removeDirectory(.root, Array("d".utf8)) }
        let upper = try await mount.makeDirectory("upper")
        let lower = try await mount.makeDirectory("lower", in: upper)
        try await mount.put("file", [1], in: lower)
        try await mount.files.syncAll()
        let gate = AsyncEvent()
        mount.metadata.submitGate = { await gate.wait() }
        held.world.leader.resetCounts()
        await #expect(throws: Errno.notEmpty) { try await mount.files.removeDirectory(upper, Array("lower".utf8)) }
        held.world.leader.resetCounts()
        try await mount.files.unlink(lower, Array("file".utf8))
        try await mount.files.removeDirectory(upper, Array("lower".utf8))
        let attributes = try await mount.files.attributes(upper).attributes
        #expect(attributes.entries == 0 && attributes.links == 2)
        #expect(held.world.leader.commands.isEmpty)
        gate.happen()
        try await mount.files.syncDirectory(upper)
        try await mount.files.removeDirectory(.root, Array("upper".utf8))
        #expect(try await mount.names() == [".", ".."])
    }

    /// A directory that came exclusively with the listing of its own, and in which no name was changed yet, needs no patience.
    @Test(arguments: ["unlink", "rename", "remove directory"]) func theFirstChangeIsDoneAtOnce(change: String) async throws {
        let held = try await Held()
        let mount = held.world.mount
        _ = try await mount.makeDirectory("lower", in: held.directory)
        held.gate.happen()
        try await mount.files.syncDirectory(held.directory)
        mount.files.table.existing(held.directory)?.delegation = nil
        let gate = AsyncEvent()
        mount.metadata.submitGate = { await gate.wait() }
        held.world.leader.resetCounts()
        switch change {
        case "unlink": try await held.unlink("a")
        case "rename": try await held.rename("a", "c")
        default: try await mount.files.removeDirectory(held.directory, Array("lower".utf8))
        }
        #expect(held.world.leader.commands.isEmpty)
        gate.happen()
        try await mount.files.syncDirectory(held.directory)
        #expect(held.world.leader.commands.count == 1)
    }

    @Test(arguments: ["rename", "rename over", "unlink", "move back"]) func othersSeeWhatIsDone(change: String) async throws {
        let held = try await Held(mounts: 2)
        let other = held.world.mounts[1]
        let expected: [String]
        switch change {
        case "rename":
            try await held.rename("a", "c")
            expected = ["b", "c"]
        case "rename over":
            try await held.rename("a", "b")
            expected = ["b"]
        case "unlink":
            try await held.unlink("a")
            expected = ["b"]
        default:
            for (name, newName) in [("a", "c"), ("b", "a"), ("c", "b")] { try await held.rename(name, newName) }
            expected = ["a", "b"]
        }
        let shown = try await held.world.mount.files.attributes(held.directory).attributes
        await held.world.clock.advance(by: Nanoseconds.second)
        let names = try await held.afterGate { try await other.names(held.directory) }
        #expect(names == [".", ".."] + expected)
        let settled = try await other.files.attributes(held.directory).attributes
        #expect(settled.modified == shown.modified && settled.changed == shown.changed)
        if change == "move back" { #expect(try await other.lookup("a", in: held.directory).inode == held.files[1]) }
    }

    /// Files, symlinks and directories, and files in those; what is written to them is there at once, and others see all of it.
    @Test func whatIsMadeIsThereAtOnce() async throws {
        let held = try await Held(mounts: 2)
        let (mount, other, directory) = (held.world.mount, held.world.mounts[1], held.directory)
        let before = try await mount.files.attributes(directory).attributes
        let (file, handle) = try await mount.create("file", in: directory)
        try await mount.write(file, handle, at: 0, [1, 2, 3])
        let link = try await mount.files.makeSymlink(directory, Array("link".utf8), target: [65], mount.caller).attributes
        #expect(link.kind == .symlink && link.mode == 0o777 && link.size == 1)
        let lower = try await mount.makeDirectory("lower", in: directory)
        let (inner, innerHandle) = try await mount.create("inner", in: lower)
        #expect(held.world.leader.commands.isEmpty)
        let shown = try await mount.files.attributes(file).attributes
        #expect(shown.size == 3 && shown.uid == 1000 && shown.mode == 0o644)
        #expect(try await mount.read(file, handle) == [1, 2, 3])
        #expect(try await mount.names(directory) == [".", "..", "a", "b", "file", "link", "lower"])
        let after = try await mount.files.attributes(directory).attributes
        #expect(after.entries == before.entries + 3 && after.links == before.links + 1)
        await #expect(throws: Errno.noData) { try await mount.files.xattr(file, name: Array("user.x".utf8)) }
        #expect(held.world.leader.commands.isEmpty)
        #expect(after.modified > before.modified && after.changed == after.modified)
        await held.world.clock.advance(by: Nanoseconds.second)
        let names = try await held.afterGate { try await other.names(directory) }
        #expect(names == [".", "..", "a", "b", "file", "link", "lower"])
        #expect(try await other.contents("file", in: directory) == [1, 2, 3])
        #expect(try await other.lookup("inner", in: lower).inode == inner)
        #expect(try await other.files.readSymlink(link.inode) == [65])
        // The times that were shown stay.
        let directoryNow = try await other.files.attributes(directory).attributes
        #expect(directoryNow.modified == after.modified && directoryNow.changed == after.changed)
        let settled = try await other.files.attributes(link.inode).attributes
        #expect(settled == link)
        try await mount.close(file, handle)
        try await mount.close(inner, innerHandle)
        #expect(try Invariants.check(held.world.leader.store).map(\.description) == [])
    }

    /// A set-gid directory gives its group; one with a default list is the leader's business.
    @Test func whatIsMadeIsAsItsDirectorySays() async throws {
        let held = try await Held()
        let (mount, directory) = (held.world.mount, held.directory)
        held.gate.happen()
        _ = try await mount.files.setAttributes(directory, AttributeChange(mode: 0o2770, gid: 77), size: nil, handle: nil)
        try await mount.files.syncDirectory(directory)
        held.world.leader.resetCounts()
        let caller = Caller(uid: 1000, gid: 1000, umask: 0o27)
        let made = try await mount.files.makeDirectory(directory, Array("made".utf8), mode: 0o777, caller).attributes
        #expect(made.mode == 0o2750 && made.gid == 77)
        let file = try await mount.files.create(directory, Array("file".utf8), mode: 0o4666, flags: O_RDWR, caller).0.attributes
        #expect(file.mode == 0o4640 && file.gid == 77)
        #expect(held.world.leader.commands.isEmpty)
        try await mount.files.syncDirectory(directory)
        for shown in [made, file] {
            #expect(held.world.leader.answer(.attributes(shown.inode)) == .attributes(shown))
        }
        try await mount.files.setXattr(directory, name: Array("user.x".utf8), value: [1], mode: .any, groups: nil)
        held.world.leader.resetCounts()
        _ = try await mount.makeDirectory("asked", in: directory)
        #expect(held.world.leader.commands.contains { if case .create = $0 { true } else { false } })
    }

    /// Whoever has a file open that was never made is told, once, whether it has written or not.
    @Test(arguments: [false, true]) func aLostCreationIsTold(isWritten: Bool) async throws {
        let held = try await Held()
        let mount = held.world.mount
        let (file, handle) = try await mount.create("new", in: held.directory)
        if isWritten { try await mount.write(file, handle, at: 0, [1]) }
        mount.metadata.loseSession()
        held.gate.happen()
        await #expect(throws: Errno.io) { try await mount.files.syncDirectory(.root) }
        await #expect(throws: Errno.io) { try await mount.sync(file, handle) }
        await #expect(throws: Errno.notFound) { try await mount.lookup("new", in: held.directory) }
        await #expect(throws: Errno.self) { try await mount.write(file, handle, at: 0, [1]) }
        try await mount.close(file, handle)
        // Numbers of the session before count for nothing.
        let (next, nextHandle) = try await mount.create("next", in: held.directory)
        try await mount.sync(next, nextHandle)
        #expect(try await mount.lookup("next", in: held.directory).inode == next)
    }

    /// What was made just now can be moved and removed.
    @Test func whatIsMadeIsMovedAndRemovedAtOnce() async throws {
        let held = try await Held()
        let (mount, directory) = (held.world.mount, held.directory)
        for name in ["x", "y"] {
            let (file, handle) = try await mount.create(name, in: directory)
            try await mount.close(file, handle)
        }
        try await held.rename("x", "z")
        try await held.unlink("y")
        _ = try await mount.makeDirectory("lower", in: directory)
        try await mount.files.removeDirectory(directory, Array("lower".utf8))
        #expect(try await mount.names(directory) == [".", "..", "a", "b", "z"])
        #expect(held.world.leader.commands.isEmpty)
        held.gate.happen()
        try await mount.files.syncDirectory(directory)
        #expect(try await mount.names(directory) == [".", "..", "a", "b", "z"])
        #expect(try Invariants.check(held.world.leader.store).map(\.description) == [])
    }

    @Test(arguments: ["directory", "all", "file"]) func syncsWait(what: String) async throws {
        let held = try await Held()
        let mount = held.world.mount
        let (file, handle) = try await mount.create("other")
        try await held.rename("a", "c")
        try await held.afterGate {
            switch what {
            case "directory": try await mount.files.syncDirectory(.root)
            case "all": try await mount.files.syncAll()
            default: try await mount.sync(file, handle)
            }
        }
        #expect(held.world.leader.commands.contains { if case .rename = $0 { true } else { false } })
        try await mount.close(file, handle)
    }

    /// Of a directory with more names than are held, those that were changed a moment ago are held: the leader would still show what was there before.
    @Test func whatIsOnItsWayIsNotForgotten() async throws {
        let world = try World { $0.directoryNames = 600 }
        let mount = world.mount
        let directory = try await mount.makeDirectory("d")
        func name(_ number: Int) -> [UInt8] { Array("f\(number + 10_000)".utf8) }
        for number in 0..<2000 { _ = try await mount.files.makeNode(directory, name(number), kind: .file, mode: 0o644, device: 0, mount.caller) }
        try await mount.files.syncAll()
        mount.metadata.loseSession()
        for number in 0..<10 { try await mount.files.unlink(directory, name(number)) }
        func lookUp(from start: Int) async throws {
            for number in start..<start + 40 {
                _ = try await mount.files.lookup(directory, name(number))
                await settle()
            }
        }
        try await lookUp(from: 100)
        let gate = AsyncEvent()
        mount.metadata.submitGate = { await gate.wait() }
        world.leader.resetCounts()
        try await mount.files.unlink(directory, name(200))
        #expect(world.leader.commands.isEmpty)
        try await lookUp(from: 1000)
        try await lookUp(from: 150)
        var hasEnded = false
        let lookup = Task { @LoopActor in
            defer { hasEnded = true }
            await #expect(throws: Errno.notFound) { try await mount.files.lookup(directory, name(200)) }
        }
        await settle()
        #expect(hasEnded, "it was forgotten")
        #expect(world.leader.queries.count < 20, "\(world.leader.queries.count)")
        gate.happen()
        await lookup.value
        try await mount.files.syncAll()
        await #expect(throws: Errno.notFound) { try await mount.files.lookup(directory, name(200)) }
    }

    @Test(arguments: ["listing", "file", "open", "change"]) func whoeverAsksTheLeaderWaits(question: String) async throws {
        let held = try await Held()
        let mount = held.world.mount
        try await held.unlink("a")
        // Absent names are not known to be.
        mount.files.table.existing(held.directory)?.directory?.forget(Name("x")!)
        try await held.afterGate {
            switch question {
            case "listing": #expect(try await mount.names(held.directory) == [".", "..", "b"])
            case "file":
                // As the kernel has it that O_PATH keeps a file by.
                mount.files.retain(held.files[0])
                #expect(try await mount.files.attributes(held.files[0]).attributes.links == 0)
            case "open": await #expect(throws: Errno.self) { try await mount.files.open(held.files[0], flags: O_RDONLY) }
            default: _ = try await mount.makeDirectory("a", in: held.directory)
            }
        }
    }

    @Test func aLostChangeIsToldOnce() async throws {
        let held = try await Held()
        let mount = held.world.mount
        try await held.rename("a", "c")
        mount.metadata.failure = MetadataError(.unavailable, "nobody is there")
        held.gate.happen()
        await #expect(throws: Errno.io) { try await mount.files.syncDirectory(held.directory) }
        mount.metadata.failure = nil
        try await mount.files.syncDirectory(held.directory)
        #expect(try await mount.lookup("a", in: held.directory).inode == held.files[0])
        await #expect(throws: Errno.notFound) { try await mount.lookup("c", in: held.directory) }
    }

    /// A file that is open must be kept by the leader; one with changes is committed before its name changes; one that others may cache is asked back.
    @Test(arguments: ["open", "dirty", "shared"]) func othersAreAskedOfTheLeader(what: String) async throws {
        let held = try await Held(mounts: 2)
        let mount = held.world.mount
        switch what {
        case "open": _ = try await mount.files.open(held.files[0], flags: O_RDONLY)
        case "dirty": _ = try await mount.files.setAttributes(held.files[0], AttributeChange(mode: 0o600), size: nil, handle: nil)
        default: _ = try await held.world.mounts[1].lookup("a", in: held.directory)
        }
        held.world.leader.resetCounts()
        if what == "open" { try await held.unlink("a") } else { try await held.rename("a", "c") }
        // The change is committed before; the rename itself need not be waited for then.
        let isCommit = if case .update = try #require(held.world.leader.commands.first) { true } else { false }
        #expect(held.world.leader.commands.count == 1 && isCommit == (what == "dirty"))
    }

    /// After a few changes the directory is leased and read, and the next ones do not wait.
    @Test func aDirectoryThatIsChangedAgainAndAgainIsLeased() async throws {
        let world = try World(mounts: 2)
        let directory = try await world.mounts[1].makeDirectory("d")
        for number in 0..<20 { try await world.mounts[1].put("f\(number)", [1], in: directory) }
        try await world.mounts[1].files.syncAll()
        let mount = world.mount
        for number in 0..<6 {
            _ = try await mount.lookup("f\(number)", in: directory)
            try await mount.files.unlink(directory, Array("f\(number)".utf8))
            await settle()
        }
        let gate = AsyncEvent()
        mount.metadata.submitGate = { await gate.wait() }
        for number in 6..<20 { try await mount.files.unlink(directory, Array("f\(number)".utf8)) }
        gate.happen()
        #expect(try await world.mounts[1].names(directory) == [".", ".."])
    }
}
