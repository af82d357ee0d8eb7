@testable import Filesystem
import FilesystemWorld
import Glibc
import Model
import Namespace
import Runtime
import TestSupport
import Testing

@Suite @LoopActor struct NameTests {
    @Test func aFreshFileIsKnownWithoutAsking() async throws {
        let world = try World()
        let mount = world.mount
        await #expect(throws: Errno.notFound) { try await mount.lookup("a") }
        let (inode, handle) = try await mount.create("a")
        world.leader.resetCounts()
        #expect(try await mount.lookup("a").inode == inode)
        await #expect(throws: Errno.noData) { try await mount.files.xattr(inode, name: Array("security.capability".utf8)) }
        try await mount.write(inode, handle, at: 0, [1, 2, 3])
        _ = try await mount.files.setAttributes(inode, AttributeChange(mode: 0o600), size: nil, handle: nil)
        let attributes = try await mount.lookup("a")
        #expect(attributes.size == 3 && attributes.mode == 0o600)
        try await mount.close(inode, handle)
        #expect(world.leader.commands.isEmpty && world.leader.queries.isEmpty)
    }

    @Test func absentNamesAreRememberedAndForgottenWhenMadeElsewhere() async throws {
        let world = try World(mounts: 2)
        await #expect(throws: Errno.notFound) { try await world.mounts[0].lookup("x") }
        world.leader.resetCounts()
        await #expect(throws: Errno.notFound) { try await world.mounts[0].lookup("x") }
        #expect(world.leader.queries.isEmpty)
        try await world.mounts[1].put("x", [7])
        #expect(try await world.mounts[0].contents("x") == [7])
        try await world.mounts[1].files.unlink(.root, Array("x".utf8))
        await #expect(throws: Errno.notFound) { try await world.mounts[0].lookup("x") }
    }

    @Test func makesRemovesAndRefuses() async throws {
        let world = try World()
        let mount = world.mount
        let directory = try await mount.makeDirectory("d")
        await #expect(throws: Errno.exists) { try await mount.makeDirectory("d") }
        try await mount.put("f", [1], in: directory)
        await #expect(throws: Errno.notEmpty) { try await mount.files.removeDirectory(.root, Array("d".utf8)) }
        await #expect(throws: Errno.isDirectory) { try await mount.files.unlink(.root, Array("d".utf8)) }
        await #expect(throws: Errno.notDirectory) { try await mount.files.removeDirectory(directory, Array("f".utf8)) }
        await #expect(throws: Errno.nameTooLong) { try await mount.lookup(String(repeating: "n", count: 256)) }
        try await mount.files.unlink(directory, Array("f".utf8))
        try await mount.files.removeDirectory(.root, Array("d".utf8))
        #expect(try await mount.names() == [".", ".."])
    }

    /// rename(2) does nothing where both names are of one file; the names that are cached must not say otherwise.
    @Test(arguments: [RenameMode.replace, .exchange]) func renameOverAnotherNameOfTheFileKeepsBoth(mode: RenameMode) async throws {
        let world = try World()
        let mount = world.mount
        try await mount.put("a", [1])
        let inode = try await mount.lookup("a").inode
        _ = try await mount.files.link(inode, to: .root, Array("b".utf8))
        try await mount.files.rename(.root, Array("a".utf8), to: .root, Array("b".utf8), mode: mode)
        for name in ["a", "b"] {
            let attributes = try await mount.lookup(name)
            #expect(attributes.inode == inode && attributes.links == 2)
        }
    }

    @Test func renamesReplaceExchangeAndRefuse() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        try await mount.put("a", [1])
        try await mount.put("b", [2])
        await #expect(throws: Errno.exists) {
            try await mount.files.rename(.root, Array("a".utf8), to: .root, Array("b".utf8), mode: .noReplace)
        }
        try await mount.files.rename(.root, Array("a".utf8), to: .root, Array("b".utf8), mode: .exchange)
        #expect(try await mount.contents("a") == [2])
        #expect(try await world.mounts[1].contents("b") == [1])
        try await mount.files.rename(.root, Array("a".utf8), to: .root, Array("b".utf8), mode: .replace)
        #expect(try await mount.contents("b") == [2])
        await #expect(throws: Errno.notFound) { try await mount.lookup("a") }
        #expect(try await world.mounts[1].contents("b") == [2])
        let outer = try await mount.makeDirectory("outer")
        let inner = try await mount.makeDirectory("inner", in: outer)
        await #expect(throws: Errno.invalid) {
            try await mount.files.rename(.root, Array("outer".utf8), to: inner, Array("x".utf8), mode: .replace)
        }
    }

    @Test func hardLinksShareContent() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let (inode, handle) = try await mount.create("a")
        try await mount.write(inode, handle, at: 0, Array("hello".utf8))
        let entry = try await mount.files.link(inode, to: .root, Array("b".utf8))
        #expect(entry.attributes.links == 2 && entry.attributes.size == 5)
        try await mount.write(inode, handle, at: 5, Array("!".utf8))
        #expect(try await world.mounts[1].contents("b") == Array("hello!".utf8))
        try await mount.files.unlink(.root, Array("a".utf8))
        #expect(try await mount.lookup("b").links == 1)
        #expect(try await mount.contents("b") == Array("hello!".utf8))
        try await mount.close(inode, handle)
    }

    @Test func symlinksNodesAndExtendedAttributes() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let link = try await mount.files.makeSymlink(.root, Array("l".utf8), target: Array("t/u".utf8), mount.caller)
        #expect(link.attributes.kind == .symlink && link.attributes.size == 3)
        #expect(try await mount.files.readSymlink(link.attributes.inode) == Array("t/u".utf8))
        #expect(try await world.mounts[1].files.readSymlink(link.attributes.inode) == Array("t/u".utf8))
        let fifo = try await mount.files.makeNode(.root, Array("p".utf8), kind: .fifo, mode: 0o600, device: 0, mount.caller)
        #expect(fifo.attributes.kind == .fifo)
        try await mount.put("f", [1])
        let inode = try await mount.lookup("f").inode
        let name = Array("user.k".utf8)
        try await mount.files.setXattr(inode, name: name, value: [9, 9], mode: .create, groups: nil)
        await #expect(throws: Errno.exists) { try await mount.files.setXattr(inode, name: name, value: [1], mode: .create, groups: nil) }
        #expect(try await mount.files.xattr(inode, name: name) == [9, 9])
        #expect(try await world.mounts[1].files.xattr(inode, name: name) == [9, 9])
        try await world.mounts[1].files.setXattr(inode, name: name, value: [8], mode: .replace, groups: nil)
        #expect(try await mount.files.xattr(inode, name: name) == [8])
        #expect(try await mount.files.xattrNames(inode) == [name])
        try await mount.files.removeXattr(inode, name: name)
        await #expect(throws: Errno.noData) { try await mount.files.xattr(inode, name: name) }
        #expect(try await world.mounts[1].files.xattrNames(inode) == [])
    }

    @Test func directoriesAreListedInPagesAndThenKnown() async throws {
        let world = try World(mounts: 2)
        let maker = world.mounts[0]
        let directory = try await maker.makeDirectory("d")
        var expected: [String] = []
        for number in 0..<2500 {
            let name = "file\(10_000 + number)"
            try await maker.put(name, [], in: directory)
            expected.append(name)
        }
        let reader = world.mounts[1]
        #expect(try await reader.lookup("d").entries == 2500)
        world.leader.resetCounts()
        #expect(try await reader.names(directory, batch: 37) == [".", ".."] + expected)
        #expect(world.leader.queries.count <= 5)
        // Everything is known now: names, attributes, and what is not there.
        world.leader.resetCounts()
        await #expect(throws: Errno.notFound) { try await reader.lookup("nothing", in: directory) }
        #expect(try await maker.names(directory) == [".", ".."] + expected)
        #expect(try await reader.names(directory, batch: 5000, plus: false) == [".", ".."] + expected)
        #expect(world.leader.queries.isEmpty)
    }

    @Test func aListingUnderChangesLosesAndRepeatsNothing() async throws {
        let world = try World(mounts: 2)
        let directory = try await world.mounts[0].makeDirectory("d")
        for number in 0..<3000 { try await world.mounts[0].put("f\(10_000 + number)", [], in: directory) }
        let reader = world.mounts[1]
        let handle = try await reader.files.openDirectory(directory)
        var position: UInt64 = 0
        var names: [String] = []
        var round = 0
        while true {
            let items = try await reader.files.readDirectory(directory, handle: handle, position: position, plus: false)
            guard !items.isEmpty else { break }
            for item in items.prefix(500) {
                names.append(String(decoding: item.name, as: UTF8.self))
                position = item.next
            }
            // What was read goes away, as `rm -r` does it; and something new comes.
            for name in names.suffix(100) where name.hasPrefix("f") && !name.hasSuffix("9") {
                try? await world.mounts[0].files.unlink(directory, Array(name.utf8))
            }
            try await world.mounts[0].put("g\(round)", [], in: directory)
            round += 1
        }
        let stable = names.filter { $0.hasPrefix("f") }
        #expect(stable == (0..<3000).map { "f\(10_000 + $0)" })
        #expect(Set(names).count == names.count)
        await reader.files.releaseDirectory(directory, handle: handle)
    }

    @Test(arguments: [(300, 65_536), (3000, 65_536), (3000, 1000)]) func namesThatAreLookedUpOneByOneAreReadAhead(count: Int, held: Int) async throws {
        let world = try World(mounts: 2) { $0.directoryNames = held }
        let (maker, walker) = (world.mounts[0], world.mounts[1])
        func name(_ number: Int) -> String { "f\(number + 10_000)" }
        for number in 0..<count { _ = try await maker.files.makeNode(.root, Array(name(number).utf8), kind: .fifo, mode: 0o644, device: 0, maker.caller) }
        await settle()
        // What it made it holds exclusively.
        maker.metadata.loseSession()
        world.leader.resetCounts()
        for number in 0..<count {
            #expect(try await walker.lookup(name(number)).kind == .fifo)
            await settle()
        }
        #expect(world.leader.queries.count < 10 + count / 20, "\(world.leader.queries.count)")
        // Whoever changes a name is heard of, also where it was only read ahead.
        try await maker.files.unlink(.root, Array(name(count - 1).utf8))
        await #expect(throws: Errno.notFound) { try await walker.lookup(name(count - 1)) }
        if count < NameReadAhead.names {
            _ = try await walker.names()
            world.leader.resetCounts()
            for number in 0..<100 { await #expect(throws: Errno.notFound) { try await walker.lookup("absent\(number)") } }
            #expect(world.leader.queries.isEmpty)
        }
    }

    @Test func whoeverAsksForNamesHereAndThereHardlyPaysForListings() {
        var readAhead = NameReadAhead()
        var begun = 0
        for _ in 0..<20_000 where readAhead.noteMiss() {
            begun += 1
            readAhead.end(served: true)
        }
        #expect(begun < 12, "\(begun)")
    }

    /// A fifo is open without our being told: it has attributes, extended ones too, after its last name went.
    @Test func removedFifosKeepTheirAttributes() async throws {
        let world = try World()
        let mount = world.mounts[0]
        let (name, first, second) = (Array("p".utf8), Array("trusted.a".utf8), Array("trusted.b".utf8))
        let fifo = try await mount.files.makeNode(.root, name, kind: .fifo, mode: 0o600, device: 0, mount.caller).attributes.inode
        try await mount.files.setXattr(fifo, name: first, value: [1], mode: .any, groups: nil)
        _ = try await mount.files.lookup(.root, name)
        try await mount.files.unlink(.root, name)
        #expect(try await mount.files.xattrNames(fifo) == [first])
        #expect(try await mount.files.xattr(fifo, name: first) == [1])
        await #expect(throws: Errno.noData) { try await mount.files.xattr(fifo, name: second) }
        await #expect(throws: Errno.exists) { try await mount.files.setXattr(fifo, name: first, value: [2], mode: .create, groups: nil) }
        await #expect(throws: Errno.noData) { try await mount.files.setXattr(fifo, name: second, value: [2], mode: .replace, groups: nil) }
        try await mount.files.setXattr(fifo, name: second, value: [2], mode: .create, groups: nil)
        #expect(try await mount.files.xattr(fifo, name: second) == [2])
        try await mount.files.removeXattr(fifo, name: first)
        await #expect(throws: Errno.noData) { try await mount.files.removeXattr(fifo, name: first) }
        #expect(try await mount.files.xattrNames(fifo) == [second])
        #expect(try await mount.files.setAttributes(fifo, AttributeChange(mode: 0o640), size: nil, handle: nil).attributes.mode == 0o640)
    }

    /// It lives as long as it is open, or has a name.
    @Test(arguments: [false, true]) func temporaryFiles(getsName: Bool) async throws {
        let world = try World(mounts: 2)
        let (mount, other) = (world.mounts[0], world.mounts[1])
        let content = (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
        let (entry, opened) = try await mount.files.createTemporary(.root, mode: 0o640, flags: O_RDWR, mount.caller)
        let inode = entry.attributes.inode
        #expect(entry.attributes.links == 0 && entry.entryValidity == 0)
        try await mount.write(inode, opened.handle, at: 0, content)
        #expect(try await mount.read(inode, opened.handle) == content)
        #expect(try await other.names() == [".", ".."])
        if getsName {
            #expect(try await mount.files.link(inode, to: .root, Array("f".utf8)).attributes.links == 1)
            let (found, handle) = try await other.open("f")
            #expect(found == inode)
            #expect(try await other.read(inode, handle) == content)
            try await other.close(inode, handle)
        }
        try await mount.close(inode, opened.handle)
        mount.files.forget(inode, count: 2)
        if getsName {
            // Nobody counts as having it open.
            try await other.files.unlink(.root, Array("f".utf8))
        }
        await settle()
        #expect(world.leader.answer(.attributes(inode)) == .failed(.stale))
    }

    @Test func removedButOpenDirectoriesCanBeClosed() async throws {
        let world = try World()
        let directory = try await world.mount.makeDirectory("d")
        let handle = try await world.mount.files.openDirectory(directory)
        try await world.mount.files.removeDirectory(.root, Array("d".utf8))
        await world.mount.files.releaseDirectory(directory, handle: handle)
        if case .failed = world.leader.answer(.attributes(directory)) {} else { Issue.record("the directory is still there") }
    }
}
