import Bytes
import Digest
@testable import Filesystem
import FilesystemWorld
import Glibc
import Model
import Namespace
import Runtime
import TestSupport
import Testing

@Suite @LoopActor struct FileTests {
    static let mebibyte = 1 << 20

    @Test func smallFilesLieInTheInode() async throws {
        let world = try World(mounts: 2)
        try await world.mounts[0].put("a", Array("hello".utf8))
        #expect(try await world.mounts[1].contents("a") == Array("hello".utf8))
        #expect(world.blocks.puts == 0)
    }

    /// One question brings what many small files hold, and their blocks are on the way before they are read.
    @Test func smallFilesThatAreReadOneAfterTheOtherAreReadAhead() async throws {
        let world = try World(mounts: 2)
        let (maker, reader) = (world.mounts[0], world.mounts[1])
        let random = SeededRandom(seed: 7)
        let count = 400
        let contents = (0..<count).map { random.bytes($0 % 2 == 0 ? 500 : 9000) }
        func name(_ number: Int) -> String { "f\(number + 10_000)" }
        for number in 0..<count { try await maker.put(name(number), contents[number]) }
        try await maker.files.syncAll()
        // What it made it holds exclusively.
        maker.metadata.loseSession()
        world.leader.resetCounts()
        let changed = random.bytes(700)
        for number in 0..<count {
            // Of a file that was read ahead another mount changes the content.
            if number == 300 { try await maker.put(name(310), changed) }
            #expect(try await reader.contents(name(number)) == (number == 310 ? changed : contents[number]), "\(number)")
            await settle()
            // The next blocks are there before anybody wants them.
            if (100..<130).contains(number), number % 2 == 0 { #expect(reader.files.blockCache.cached(SHA256.key(of: contents[number + 1])) != nil, "\(number)") }
        }
        #expect(world.leader.queries.count < 10 + count / 16, "\(world.leader.queries.count)")
        #expect(world.blocks.gets == count / 2)
    }

    @Test func contentsThatLieInInodesCountAgainstTheLimit() async throws {
        let world = try World(mounts: 2) { $0.cachedItems = 1000 }
        let (maker, reader) = (world.mounts[0], world.mounts[1])
        let bytes = SeededRandom(seed: 13).bytes(4096)
        for number in 0..<200 { try await maker.put("f\(number)", bytes) }
        try await maker.files.syncAll()
        maker.metadata.loseSession()
        for number in 0..<200 {
            #expect(try await reader.contents("f\(number)") == bytes)
            await settle()
            // One reading ahead may come on top before room is made.
            let held = reader.files.table.all.reduce(0) { if case .inline(let bytes) = $1.content { $0 + bytes.count } else { $0 } }
            #expect(held < 1000 * 128 + ContentReadAhead.files * 4096, "\(number)")
        }
    }

    @Test func whoeverReadsFilesHereAndThereHardlyPaysForTheirNeighbours() throws {
        let random = SeededRandom(seed: 11)
        var readAhead = ContentReadAhead()
        var begun = 0
        for _ in 0..<20_000 {
            let name = try #require(Name("\(random.next())"))
            guard let after = readAhead.noteOpen(name, .root, isKnown: false).after else { continue }
            #expect(after == name)
            begun += 1
            readAhead.begin(AsyncEvent())
            readAhead.end([], last: name, isAtEnd: false)
        }
        #expect(begun > 0 && begun < 12, "\(begun)")
    }

    @Test func aFileThatOutgrowsTheInodeKeepsItsBytes() async throws {
        let world = try World(mounts: 2)
        let random = SeededRandom(seed: 3)
        let first = random.bytes(3000)
        let second = random.bytes(5000)
        try await world.mounts[0].put("a", first)
        let (inode, handle) = try await world.mounts[1].open("a")
        try await world.mounts[1].write(inode, handle, at: 4000, second)
        let expected = first + [UInt8](repeating: 0, count: 1000) + second
        #expect(try await world.mounts[1].read(inode, handle) == expected)
        try await world.mounts[1].sync(inode, handle)
        #expect(try await world.mounts[1].read(inode, handle) == expected)
        #expect(try await world.mounts[0].contents("a") == expected)
        try await world.mounts[1].close(inode, handle)
    }

    @Test func largeFilesAreReadElsewhere() async throws {
        let world = try World(mounts: 2)
        let bytes = SeededRandom(seed: 5).bytes(5 * Self.mebibyte + 12_345)
        let (inode, handle) = try await world.mounts[0].create("a")
        var position = 0
        while position < bytes.count {
            let end = min(bytes.count, position + 100_000)
            try await world.mounts[0].write(inode, handle, at: UInt64(position), Array(bytes[position..<end]))
            position = end
        }
        #expect(try await world.mounts[0].read(inode, handle) == bytes)
        try await world.mounts[0].close(inode, handle)
        #expect(try await world.mounts[1].contents("a") == bytes)
        #expect(try await world.mounts[1].lookup("a").size == UInt64(bytes.count))
        // Five full blocks and the rest: nothing was put twice.
        #expect(world.blocks.puts == 6)
    }

    @Test func fullBlocksGoOutBeforeTheSync() async throws {
        let world = try World()
        let (inode, handle) = try await world.mount.create("a")
        try await world.mount.write(inode, handle, at: 0, SeededRandom(seed: 1).bytes(3 * Self.mebibyte + 5))
        await settle()
        #expect(world.blocks.puts == 3)
        #expect(world.mount.metadata.updates.isEmpty)
        try await world.mount.sync(inode, handle)
        #expect(world.blocks.puts == 4)
        #expect(world.mount.metadata.updates.count == 1)
        try await world.mount.close(inode, handle)
    }

    @Test func holesStayHoles() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let (inode, handle) = try await mount.create("sparse")
        let far: UInt64 = 100 << 20
        try await mount.write(inode, handle, at: far, [1, 2, 3])
        try await mount.sync(inode, handle)
        #expect(try await mount.files.attributes(inode).attributes.allocated < 1 << 20)
        for mount in world.mounts {
            let (inode, handle) = try await mount.open("sparse", flags: O_RDONLY)
            #expect(try await mount.files.seek(inode, handle: handle, offset: 0, whence: 4) == 0)
            #expect(try await mount.files.seek(inode, handle: handle, offset: 0, whence: 3) == far)
            #expect(try await mount.files.seek(inode, handle: handle, offset: far + 1, whence: 4) == far + 3)
            await #expect(throws: Errno.noDeviceOrAddress) { try await mount.files.seek(inode, handle: handle, offset: far + 3, whence: 3) }
            #expect(try await mount.read(inode, handle, at: far - 2, 100) == [0, 0, 1, 2, 3])
            try await mount.close(inode, handle)
        }
        try await mount.truncate(inode, to: 5)
        #expect(try await mount.read(inode, handle) == [0, 0, 0, 0, 0])
        try await mount.truncate(inode, to: 10)
        #expect(try await world.mounts[1].contents("sparse") == [UInt8](repeating: 0, count: 10))
        try await mount.close(inode, handle)
    }

    @Test func truncatedBytesComeBackAsZeros() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let bytes = SeededRandom(seed: 2).bytes(20_000)
        try await mount.put("a", bytes)
        try await mount.files.syncAll()
        let (inode, handle) = try await mount.open("a")
        try await mount.truncate(inode, to: 6000)
        try await mount.truncate(inode, to: 9000)
        let expected = Array(bytes[0..<6000]) + [UInt8](repeating: 0, count: 3000)
        #expect(try await mount.read(inode, handle) == expected)
        #expect(try await world.mounts[1].contents("a") == expected)
        try await mount.close(inode, handle)
    }

    @Test func punchedAndZeroedRanges() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        var bytes = SeededRandom(seed: 2).bytes(3 * Self.mebibyte)
        try await mount.put("a", bytes)
        try await mount.files.syncAll()
        let (inode, handle) = try await mount.open("a")
        try await mount.files.allocate(inode, handle: handle, mode: 3, offset: 1 << 20, length: 1 << 20)
        for index in 1 << 20..<2 << 20 { bytes[index] = 0 }
        #expect(try await mount.files.seek(inode, handle: handle, offset: 0, whence: 4) == 1 << 20)
        try await mount.files.allocate(inode, handle: handle, mode: 0x10, offset: (3 << 20) - 10, length: 30)
        for index in (3 << 20) - 10..<3 << 20 { bytes[index] = 0 }
        bytes += [UInt8](repeating: 0, count: 20)
        try await mount.files.allocate(inode, handle: handle, mode: 0, offset: 0, length: 4 << 20)
        bytes += [UInt8](repeating: 0, count: 4 << 20 - bytes.count)
        try await mount.files.allocate(inode, handle: handle, mode: 1, offset: 0, length: 5 << 20)
        await #expect(throws: Errno.notSupported) {
            try await mount.files.allocate(inode, handle: handle, mode: 8, offset: 0, length: 4096)
        }
        #expect(try await mount.read(inode, handle) == bytes)
        #expect(try await world.mounts[1].contents("a") == bytes)
        try await mount.close(inode, handle)
    }

    @Test func appendsFromTwoMountsAllArrive() async throws {
        let world = try World(mounts: 2, seed: 11, jittery: true)
        try await world.mounts[0].put("log", [])
        var handles: [(InodeID, UInt64)] = []
        for mount in world.mounts { handles.append(try await mount.open("log", flags: O_WRONLY | O_APPEND)) }
        let opened = handles
        let writers = world.mounts.enumerated().map { index, mount in
            Task { @LoopActor in
                let line = [UInt8](repeating: UInt8(index + 1), count: 100)
                for _ in 0..<40 { try await mount.write(opened[index].0, opened[index].1, at: 0, line) }
            }
        }
        for writer in writers { try await writer.value }
        let bytes = try await world.mounts[0].contents("log")
        #expect(bytes.count == 8000)
        for start in stride(from: 0, to: bytes.count, by: 100) { #expect(Set(bytes[start..<start + 100]).count == 1) }
        #expect(bytes.filter { $0 == 1 }.count == 4000)
        for (index, mount) in world.mounts.enumerated() { try await mount.close(handles[index].0, handles[index].1) }
    }

    @Test func logsDoNotBecomeChainsOfExtents() async throws {
        let world = try World()
        let (inode, handle) = try await world.mount.create("log", flags: O_WRONLY | O_APPEND | O_SYNC)
        var expected: [UInt8] = []
        let random = SeededRandom(seed: 4)
        for _ in 0..<300 {
            let line = random.bytes(100 + random.below(2000))
            expected += line
            try await world.mount.write(inode, handle, at: 0, line)
        }
        #expect(try await world.mount.contents("log") == expected)
        guard case .content(.extents(let extents), _) = world.leader.answer(.content(inode, offset: 0, length: 1 << 30)) else {
            Issue.record("the log has no extents")
            return
        }
        #expect(extents.count < 10)
        try await world.mount.close(inode, handle)
    }

    @Test func manySmallOverwritesAreCompacted() async throws {
        let world = try World(mounts: 2) {
            $0.blockSize = 16 << 10
            $0.extentsPerRegion = 48
        }
        let random = SeededRandom(seed: 6)
        var bytes = random.bytes(512 << 10)
        try await world.mount.put("db", bytes)
        try await world.mount.files.syncAll()
        let (inode, handle) = try await world.mount.open("db")
        for round in 0..<200 {
            let place = random.below(bytes.count - 600)
            let change = random.bytes(100 + random.below(500))
            bytes.replaceSubrange(place..<place + change.count, with: change)
            try await world.mount.write(inode, handle, at: UInt64(place), change)
            if round % 5 == 0 { try await world.mount.sync(inode, handle) }
        }
        try await world.mount.sync(inode, handle)
        guard case .content(.extents(let extents), _) = world.leader.answer(.content(inode, offset: 0, length: 1 << 26)) else {
            Issue.record("no extents")
            return
        }
        #expect(extents.count <= 64)
        #expect(try await world.mounts[1].contents("db") == bytes)
        try await world.mount.close(inode, handle)
    }

    @Test func copiesShareBlocks() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let bytes = SeededRandom(seed: 9).bytes(3 * Self.mebibyte + 777)
        try await mount.put("from", bytes)
        let (source, sourceHandle) = try await mount.open("from")
        let (target, targetHandle) = try await mount.create("to")
        try await mount.write(target, targetHandle, at: 0, [1, 2, 3, 4, 5])
        try await mount.sync(source, sourceHandle)
        let puts = world.blocks.puts
        let gets = world.blocks.gets
        let copied = try await mount.files.copyRange(
            from: source, handle: sourceHandle, offset: 100, to: target, targetHandle: targetHandle, targetOffset: 3, count: 10 << 20)
        #expect(copied == bytes.count - 100)
        try await mount.sync(target, targetHandle)
        #expect(world.blocks.puts - puts <= 1)
        #expect(world.blocks.gets == gets)
        let expected = [1, 2, 3] + Array(bytes[100...])
        #expect(try await mount.read(target, targetHandle) == expected)
        #expect(try await world.mounts[1].contents("to") == expected)
        await #expect(throws: Errno.invalid) {
            try await mount.files.copyRange(
                from: source, handle: sourceHandle, offset: 0, to: source, targetHandle: sourceHandle, targetOffset: 10, count: 20)
        }
        // A file that lies in its inode is copied by its bytes.
        try await mount.put("small", [9, 8, 7])
        let (small, smallHandle) = try await mount.open("small")
        #expect(
            try await mount.files.copyRange(
                from: small, handle: smallHandle, offset: 1, to: target, targetHandle: targetHandle, targetOffset: 0, count: 100) == 2)
        #expect(try await mount.read(target, targetHandle, at: 0, 4) == [8, 7, 3, bytes[100]])
        for (inode, handle) in [(source, sourceHandle), (target, targetHandle), (small, smallHandle)] {
            try await mount.close(inode, handle)
        }
    }

    /// What was written just now, if it is not much, is copied without waiting for its commit; of more only the blocks' names are.
    @Test(arguments: [700_000, 3 << 20]) func whatIsNotCommittedIsCopied(size: Int) async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let bytes = SeededRandom(seed: 10).bytes(size)
        let (source, sourceHandle) = try await mount.create("from")
        let (target, targetHandle) = try await mount.create("to")
        try await mount.write(source, sourceHandle, at: 0, Array(bytes[..<(size / 2)]))
        try await mount.write(source, sourceHandle, at: UInt64(size / 2), Array(bytes[(size / 2)...]))
        world.leader.resetCounts()
        let copied = try await mount.files.copyRange(
            from: source, handle: sourceHandle, offset: 0, to: target, targetHandle: targetHandle, targetOffset: 0, count: size)
        #expect(copied == size)
        let updates = world.leader.commands.count { if case .update(source, _, _, _) = $0 { true } else { false } }
        #expect(updates == (size > Self.mebibyte ? 1 : 0))
        try await mount.write(source, sourceHandle, at: 0, [1, 2, 3])
        #expect(try await mount.read(target, targetHandle) == bytes)
        #expect(try await world.mounts[1].contents("to") == bytes)
        #expect(try await world.mounts[1].contents("from") == [1, 2, 3] + bytes[3...])
        for (inode, handle) in [(source, sourceHandle), (target, targetHandle)] { try await mount.close(inode, handle) }
    }

    @Test func unlinkedFilesLiveUntilTheLastClose() async throws {
        let world = try World(mounts: 2)
        for (opener, remover) in [(0, 0), (0, 1)] {
            let name = Array("u\(remover)".utf8)
            let (inode, handle) = try await world.mounts[opener].create("u\(remover)")
            try await world.mounts[opener].write(inode, handle, at: 0, [UInt8](repeating: 5, count: 10_000))
            if remover == opener { _ = try await world.mounts[opener].lookup("u\(remover)") }
            try await world.mounts[remover].files.unlink(.root, name)
            await #expect(throws: Errno.notFound) { try await world.mounts[opener].lookup("u\(remover)") }
            #expect(try await world.mounts[opener].read(inode, handle).count == 10_000)
            try await world.mounts[opener].write(inode, handle, at: 10_000, [6])
            try await world.mounts[opener].sync(inode, handle)
            #expect(try await world.mounts[opener].read(inode, handle).last == 6)
            #expect(try await world.mounts[opener].files.attributes(inode).attributes.links == 0)
            try await world.mounts[opener].close(inode, handle)
            await settle()
            if case .failed = world.leader.answer(.attributes(inode)) {} else { Issue.record("the inode is still there") }
        }
    }

    @Test func removedFilesAreNotWritten() async throws {
        let world = try World()
        try await world.mount.put("tmp", [UInt8](repeating: 1, count: 50_000))
        try await world.mount.files.unlink(.root, Array("tmp".utf8))
        try await world.mount.files.syncAll()
        await world.clock.advance(by: 20 * Nanoseconds.second)
        #expect(world.mount.metadata.updates.isEmpty && world.blocks.puts == 0)
    }

    @Test func worksWithoutLeases() async throws {
        let world = try World(mounts: 2)
        world.leader.grantsLeases = false
        try await world.mounts[0].files.syncAll()
        let directory = try await world.mounts[0].makeDirectory("d")
        #expect(try await world.mounts[1].names() == [".", "..", "d"])
        #expect(try await world.mounts[1].lookup("d").inode == directory)
    }

    @Test func openSaysWhetherPagesAreRight() async throws {
        let world = try World(mounts: 2)
        try await world.mounts[0].put("a", [1])
        let inode = try await world.mounts[1].lookup("a").inode
        #expect(try await world.mounts[1].files.open(inode, flags: O_RDONLY).keepCache == false)
        #expect(try await world.mounts[1].files.open(inode, flags: O_RDONLY).keepCache == true)
        let (same, handle) = try await world.mounts[0].open("a")
        try await world.mounts[0].write(same, handle, at: 0, [2])
        #expect(try await world.mounts[1].files.open(inode, flags: O_RDONLY).keepCache == false)
        #expect(try await world.mounts[1].files.open(inode, flags: O_RDONLY).keepCache == true)
        try await world.mounts[0].close(same, handle)
    }

    @Test func sizesAndFlagsAreChecked() async throws {
        let world = try World()
        let (inode, handle) = try await world.mount.create("a")
        await #expect(throws: Errno.fileTooLarge) { try await world.mount.write(inode, handle, at: Limits.fileBytes, [1]) }
        await #expect(throws: Errno.fileTooLarge) { try await world.mount.truncate(inode, to: Limits.fileBytes + 1) }
        await #expect(throws: Errno.badDescriptor) { try await world.mount.write(inode, handle + 7, at: 0, [1]) }
        await #expect(throws: Errno.isDirectory) { try await world.mount.files.open(.root, flags: O_RDONLY) }
        await #expect(throws: Errno.notDirectory) { try await world.mount.files.openDirectory(inode) }
        #expect(try await world.mount.files.statistics().freeBytes == 1 << 39)
        try await world.mount.close(inode, handle)
    }
}
