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
        let names = try await held.afterGate { try await other.names(held.directory) }
        #expect(names == [".", ".."] + expected)
        if change == "move back" { #expect(try await other.lookup("a", in: held.directory).inode == held.files[1]) }
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
