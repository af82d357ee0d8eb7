import Filesystem
import FilesystemWorld
import Glibc
import Metadata
import Model
import Namespace
import Runtime
import TestSupport
import Testing

/// What the kernel is told and when it is told otherwise; and that what it keeps does not make the mount grow.
@Suite @LoopActor struct KernelCacheTests {
    /// A file that the second mount made, open on the first, which has a kernel and has read it.
    private func readOnTheFirst(_ world: World) async throws -> (FakeKernel, InodeID, UInt64) {
        let kernel = FakeKernel()
        world.mounts[0].files.kernelCache = kernel
        try await world.mounts[1].put("a", [1])
        _ = try await world.mounts[0].files.lookup(.root, Array("a".utf8))
        let (inode, handle) = try await world.mounts[0].open("a")
        #expect(try await world.mounts[0].read(inode, handle) == [1])
        return (kernel, inode, handle)
    }

    @Test func theTableStaysSmall() async throws {
        let world = try World(mounts: 2) { $0.idleInodes = 100 }
        for number in 0..<1000 { try await world.mounts[0].put("f\(number)", [1]) }
        try await world.mounts[0].files.syncAll()
        for number in 0..<1000 {
            let inode = try await world.mounts[1].lookup("f\(number)").inode
            world.mounts[1].files.forget(inode, count: 1)
        }
        #expect(world.mounts[1].files.memory.inodes <= 101)
        #expect(try await world.mounts[1].contents("f7") == [1])
    }

    /// What was read ahead and is not asked for yet has a place of its own, however much the kernel knows.
    @Test func whatTheKernelKnowsDoesNotPushOutWhatItDoesNot() async throws {
        let world = try World(mounts: 2) { $0.idleInodes = 300 }
        let (maker, walker) = (world.mounts[0], world.mounts[1])
        for number in 0..<1000 { try await maker.put("f\(number)", [1]) }
        for (name, count) in [("small", 200), ("large", 600)] {
            let directory = try await maker.files.makeDirectory(.root, Array(name.utf8), mode: 0o755, maker.caller).attributes.inode
            for number in 0..<count { _ = try await maker.files.makeNode(directory, Array("f\(number)".utf8), kind: .fifo, mode: 0o644, device: 0, maker.caller) }
        }
        try await maker.files.syncAll()
        await settle()
        maker.metadata.loseSession()
        for number in 0..<1000 { _ = try await walker.lookup("f\(number)") }
        func list(_ name: String) async throws {
            let id = try await walker.lookup(name).inode
            let directory = try await walker.files.openDirectory(id)
            var position: UInt64 = 0
            while let last = try await walker.files.readDirectory(id, handle: directory, position: position, plus: true).last { position = last.next }
            await walker.files.releaseDirectory(id, handle: directory)
            await settle()
            for _ in 0..<1000 { _ = try await walker.lookup("f1") }
        }
        try await list("small")
        let count = walker.files.memory.inodes
        #expect(count >= 1200, "\(count)")
        try await list("large")
        #expect(walker.files.memory.inodes <= 1310, "\(walker.files.memory.inodes)")
    }

    /// The kernel keeps what it has looked up for as long as there is memory: a walk over very many files would make the mount as large, and the leader's
    /// table of leases.
    @Test(arguments: [true, false]) func aWalkOverManyFilesKeepsTheMountSmall(byNames: Bool) async throws {
        let world = try World(mounts: 2) {
            $0.idleInodes = 2000
            $0.inodes = 5000
        }
        let (maker, walker) = (world.mounts[0], world.mounts[1])
        for number in 0..<16_000 { _ = try await maker.files.makeNode(.root, Array("f\(number)".utf8), kind: .fifo, mode: 0o644, device: 0, maker.caller) }
        await settle()
        maker.metadata.loseSession()
        let kernel = FakeKernel()
        kernel.files = walker.files
        walker.files.kernelCache = kernel
        // One that is in use stays.
        let (used, handle) = try await walker.create("used")
        var most = 0
        if byNames {
            for number in 0..<16_000 {
                _ = try await walker.lookup("f\(number)")
                most = max(most, walker.files.memory.inodes)
                // Others than this task have their turn.
                if number % 50 == 0 { await settle() }
            }
        } else {
            let directory = try await walker.files.openDirectory(.root)
            var position: UInt64 = 0
            while true {
                let items = try await walker.files.readDirectory(.root, handle: directory, position: position, plus: true)
                guard let last = items.last else { break }
                for item in items { if let entry = item.entry { walker.files.retain(entry.attributes.inode) } }
                position = last.next
                most = max(most, walker.files.memory.inodes)
                await settle()
            }
            await walker.files.releaseDirectory(.root, handle: directory)
        }
        // With names the directory is read ahead, and what was put out of the table is read again.
        #expect(most > 5000 && most < 10_000, "\(most)")
        #expect(world.leader.leaseCount(of: walker.metadata) < 10_000)
        #expect(try await walker.files.attributes(used).attributes.links == 1)
        try await walker.close(used, handle)
    }

    @Test func theKernelIsToldOnlyWhatItMayHold() async throws {
        let world = try World(mounts: 2) {
            $0.kernelEntryValidity = Nanoseconds.second
            $0.kernelAttributeValidity = 100 * Nanoseconds.second
        }
        let kernel = FakeKernel()
        world.mounts[0].files.kernelCache = kernel
        try await world.mounts[1].put("a", [1])
        let entry = try await world.mounts[0].files.lookup(.root, Array("a".utf8))
        #expect(entry.entryValidity == Nanoseconds.second)
        // No longer than the lease.
        #expect(entry.attributesValidity == 10 * Nanoseconds.second)
        #expect(kernel.invalidated.isEmpty)
        let (inode, handle) = try await world.mounts[1].open("a")
        try await world.mounts[1].write(inode, handle, at: 0, [2])
        #expect(kernel.invalidated == [inode])
        try await world.mounts[1].put("b", [])
        #expect(kernel.directories == [.root])
        try await world.mounts[1].put("c", [])
        #expect(kernel.directories.count == 1)
        // Absent names likewise; of a directory that is known in full too.
        let missing = Array("missing".utf8)
        let files = world.mounts[0].files
        #expect(files.absenceValidity(.root, missing) == 0)
        await #expect(throws: Errno.notFound) { try await files.lookup(.root, missing) }
        #expect(files.absenceValidity(.root, missing) == Nanoseconds.second)
        #expect(files.absenceValidity(.root, Array("b".utf8)) == 0)
        try await world.mounts[1].put("missing", [])
        #expect(kernel.directories.count == 2)
        #expect(files.absenceValidity(.root, missing) == 0)
        _ = try await files.lookup(.root, missing)
        #expect(files.absenceValidity(.root, missing) == 0)
        try await world.mounts[1].close(inode, handle)
    }

    /// What was open when another mount changed it has its lease given back with the last close: with what the kernel was told under it.
    @Test func theKernelHoldsNothingWithoutALease() async throws {
        let world = try World(mounts: 2) {
            $0.kernelEntryValidity = Nanoseconds.second
            $0.kernelAttributeValidity = Nanoseconds.second
        }
        let (mount, other) = (world.mounts[0], world.mounts[1])
        let (kernel, inode, handle) = try await readOnTheFirst(world)
        let (written, writer) = try await other.open("a")
        try await other.write(written, writer, at: 0, [2, 3])
        try await other.close(written, writer)
        #expect(kernel.invalidated == [inode])
        #expect(try await mount.files.attributesForReader(inode).validity > 0)
        try await mount.close(inode, handle)
        await settle()
        _ = try await other.files.setAttributes(inode, AttributeChange(), size: 0, handle: nil)
        #expect(kernel.invalidated == [inode, inode])
        #expect(try await mount.files.attributes(inode).attributes.size == 0)
        // Likewise a directory and its names.
        let directory = try await mount.files.openDirectory(.root)
        try await other.put("b", [])
        #expect(kernel.directories.count == 1)
        #expect(try await mount.files.lookup(.root, Array("b".utf8)).entryValidity > 0)
        await mount.files.releaseDirectory(.root, handle: directory)
        await settle()
        try await other.files.unlink(.root, Array("b".utf8))
        #expect(kernel.directories.count == 2)
        await #expect(throws: Errno.notFound) { try await mount.files.lookup(.root, Array("b".utf8)) }
    }

    /// The kernel keeps lists without a validity: it must be told of each change, also where it holds nothing else of the inode.
    @Test func theKernelIsToldOfChangedLists() async throws {
        let world = try World(mounts: 2)
        let kernel = FakeKernel()
        let (mount, other) = (world.mounts[0].files, world.mounts[1].files)
        mount.kernelCache = kernel
        try await world.mounts[1].put("a", [1])
        let inode = try await mount.lookup(.root, Array("a".utf8)).attributes.inode
        for round in 1...3 {
            await #expect(throws: Errno.noData) { try await mount.xattr(inode, name: AccessControlList.accessName) }
            #expect(kernel.invalidated.count == round - 1)
            _ = try await other.setAttributes(inode, AttributeChange(mode: 0o640), size: nil, handle: nil)
            try await other.syncAll()
            #expect(kernel.invalidated.count == round)
        }
        world.leader.grantsLeases = false
        await #expect(throws: Errno.noData) { try await mount.xattr(inode, name: AccessControlList.accessName) }
        await settle()
        #expect(kernel.invalidated.count == 4)
    }

    /// A listing goes on over a change made elsewhere, and shows what was there when it began: the kernel must not take that for the present.
    @Test func theKernelMayNotHoldNamesOfAnOldListing() async throws {
        let world = try World(mounts: 2) {
            $0.kernelEntryValidity = Nanoseconds.second
            $0.kernelAttributeValidity = Nanoseconds.second
        }
        let (mount, other) = (world.mounts[0], world.mounts[1])
        let kernel = FakeKernel()
        mount.files.kernelCache = kernel
        for name in ["a", "b"] { try await other.put(name, [1]) }
        for name in ["a", "b"] { _ = try await mount.lookup(name) }
        let handle = try await mount.files.openDirectory(.root)
        func listed() async throws -> [String: UInt64] {
            var result: [String: UInt64] = [:]
            for item in try await mount.files.readDirectory(.root, handle: handle, position: 2, plus: true) {
                result[String(decoding: item.name, as: UTF8.self)] = item.entry?.entryValidity ?? 0
            }
            return result
        }
        #expect(try await listed() == ["a": Nanoseconds.second, "b": Nanoseconds.second])
        _ = try await mount.files.readDirectory(.root, handle: handle, position: 4, plus: true)
        try await other.files.rename(.root, Array("a".utf8), to: .root, Array("c".utf8), mode: .replace)
        _ = try await mount.lookup("c")
        _ = try await mount.lookup("b")
        #expect(mount.metadata.holdsLease(.root))
        #expect(try await listed() == ["a": 0, "b": Nanoseconds.second])
        await mount.files.releaseDirectory(.root, handle: handle)
        #expect(kernel.directories.count == 1)
    }

    /// The kernel takes an answer in when the thread that asked has its turn, which may be after the recall of what it says. Of an inode that the kernel does
    /// not know yet it cannot be told before.
    @Test func aRecallWaitsUntilTheKernelKnowsTheInode() async throws {
        let world = try World(mounts: 2) { $0.kernelAttributeValidity = 100 * Nanoseconds.second }
        let kernel = FakeKernel()
        world.mounts[0].files.kernelCache = kernel
        let (inode, handle) = try await world.mounts[1].create("a")
        _ = try await world.mounts[0].lookup("a")
        kernel.isBehind = true
        let writing = Task { @LoopActor in try await world.mounts[1].write(inode, handle, at: 0, [1]) }
        await world.clock.advance(by: 20 * Nanoseconds.millisecond)
        #expect(kernel.invalidated.count > 2)
        #expect(world.mounts[0].metadata.holdsLease(inode))
        kernel.isBehind = false
        await world.clock.advance(by: 20 * Nanoseconds.millisecond)
        try await writing.value
        #expect(!world.mounts[0].metadata.holdsLease(inode))
        // One that the kernel forgets is not waited for, and none for ever.
        for forgets in [true, false] {
            #expect(try await world.mounts[0].lookup("a").size == 1)
            kernel.isBehind = true
            let again = Task { @LoopActor in try await world.mounts[1].write(inode, handle, at: 0, [2]) }
            await world.clock.advance(by: 20 * Nanoseconds.millisecond)
            #expect(world.mounts[0].metadata.holdsLease(inode))
            if forgets { world.mounts[0].files.forget(inode, count: .max) }
            await world.clock.advance(by: forgets ? 20 * Nanoseconds.millisecond : 2 * Nanoseconds.second)
            try await again.value
            kernel.isBehind = false
        }
        try await world.mounts[1].close(inode, handle)
    }

    /// Names of a listing count for the kernel as of the moment when it takes them in, so one that it may have yet to take in delays a recall; not for long.
    @Test(arguments: [true, false]) func aRecallWaitsForListings(goesOn: Bool) async throws {
        let world = try World(mounts: 2) { $0.kernelEntryValidity = 100 * Nanoseconds.second }
        let (mount, other) = (world.mounts[0], world.mounts[1])
        let kernel = FakeKernel()
        mount.files.kernelCache = kernel
        try await other.put("a", [1])
        _ = try await mount.lookup("a")
        let handle = try await mount.files.openDirectory(.root)
        #expect(try await mount.files.readDirectory(.root, handle: handle, position: 0, plus: true).count == 3)
        let renaming = Task { @LoopActor in
            try await other.files.rename(.root, Array("a".utf8), to: .root, Array("b".utf8), mode: .replace)
        }
        await world.clock.advance(by: 50 * Nanoseconds.millisecond)
        #expect(kernel.directories.isEmpty)
        if goesOn {
            #expect(try await mount.files.readDirectory(.root, handle: handle, position: 3, plus: true).isEmpty)
            await world.clock.advance(by: 2 * Nanoseconds.millisecond)
        } else {
            await world.clock.advance(by: 60 * Nanoseconds.millisecond)
        }
        try await renaming.value
        #expect(kernel.directories == [.root])
        await mount.files.releaseDirectory(.root, handle: handle)
    }

    /// Who looks at a mapping asks nobody, so what it shows must go with the lease. A page that the kernel holds for a request cannot: the request may wait
    /// for what the recall is about.
    @Test func pagesGoWithTheLease() async throws {
        let world = try World(mounts: 2) { $0.kernelAttributeValidity = 100 * Nanoseconds.second }
        let (mount, other) = (world.mounts[0], world.mounts[1])
        let kernel = FakeKernel()
        mount.files.kernelCache = kernel
        try await other.put("a", [UInt8](repeating: 1, count: 100_000))
        let (inode, reader) = try await mount.open("a")
        let (_, writer) = try await other.open("a")
        // Nothing was read yet.
        world.clock.wallTime += 1000
        try await other.write(inode, writer, at: 0, [2])
        #expect(kernel.droppedNow.isEmpty)
        #expect(try await mount.read(inode, reader).first == 2)
        world.clock.wallTime += 1000
        try await other.write(inode, writer, at: 0, [3])
        #expect(kernel.droppedNow == [inode] && kernel.dropped.isEmpty)
        world.clock.wallTime += 1000
        try await other.write(inode, writer, at: 0, [4])
        #expect(kernel.droppedNow == [inode])
        try await other.sync(inode, writer)
        // With a read under way.
        mount.files.dropBlocks()
        let gate = Gate()
        world.blocks.getGate = gate
        let reading = Task { @LoopActor in try await mount.read(inode, reader) }
        while gate.waiting == 0 { await Task.yield() }
        world.blocks.getGate = nil
        world.clock.wallTime += 1000
        try await other.write(inode, writer, at: 0, [5])
        #expect(kernel.droppedNow == [inode] && kernel.dropped.isEmpty)
        gate.open()
        #expect(try await reading.value.first == 4)
        #expect(kernel.droppedNow == [inode] && kernel.dropped == [inode])
        // What was read without a lease goes at once.
        world.leader.grantsLeases = false
        world.clock.wallTime += 1000
        #expect(try await mount.read(inode, reader).first == 5)
        #expect(kernel.dropped == [inode, inode])
        try await mount.close(inode, reader)
        try await other.close(inode, writer)
    }

    /// The kernel believes the answer to link(2), and to a creation that opened what was there, even if it was told meanwhile that it is old.
    @Test func attributesThatTheKernelCouldNotTakeBackAreNotGiven() async throws {
        let world = try World { $0.kernelAttributeValidity = 100 * Nanoseconds.second }
        let kernel = FakeKernel()
        world.mount.files.kernelCache = kernel
        let (inode, handle) = try await world.mount.create("a")
        #expect(try await world.mount.files.link(inode, to: .root, Array("b".utf8)).attributesValidity == 0)
        let (entry, open) = try await world.mount.files.create(.root, Array("a".utf8), mode: 0o644, flags: O_RDWR, world.mount.caller)
        #expect(entry.attributes.inode == inode && entry.attributesValidity == 0)
        #expect(try await world.mount.files.attributes(inode).validity > 0)
        for handle in [handle, open.handle] { try await world.mount.close(inode, handle) }
    }

    /// The kernel compares size and time of change; what it cannot see by these, it is told.
    @Test func theKernelIsToldOfChangesThatLookLikeNone() async throws {
        let world = try World(mounts: 2) { $0.kernelAttributeValidity = 100 * Nanoseconds.second }
        let (kernel, inode, handle) = try await readOnTheFirst(world)
        let before = try await world.mounts[0].files.attributes(inode).attributes
        func changeElsewhere(_ byte: UInt8, modified: Timestamp) async throws {
            let (other, writer) = try await world.mounts[1].open("a")
            try await world.mounts[1].write(other, writer, at: 0, [byte])
            _ = try await world.mounts[1].files.setAttributes(other, AttributeChange(modified: modified), size: nil, handle: nil)
            try await world.mounts[1].close(other, writer)
        }
        func isSeen(_ modified: Timestamp) async throws {
            #expect(try await world.mounts[0].files.attributesForReader(inode).attributes.modified == modified)
        }
        try await changeElsewhere(2, modified: before.modified + 1)
        try await isSeen(before.modified + 1)
        #expect(kernel.dropped == [])
        #expect(try await world.mounts[0].read(inode, handle) == [2])
        try await changeElsewhere(3, modified: before.modified + 1)
        try await isSeen(before.modified + 1)
        #expect(kernel.dropped == [inode])
        #expect(try await world.mounts[0].read(inode, handle) == [3])
        // Where the kernel checks permissions it would disregard an answer that a notification overtook; the next reader brings the notification.
        try await changeElsewhere(4, modified: before.modified + 1)
        let answer = try await world.mounts[0].files.attributes(inode)
        #expect(answer.attributes.modified == before.modified + 1 && answer.validity == 0)
        await settle()
        #expect(kernel.dropped == [inode])
        try await isSeen(before.modified + 1)
        #expect(kernel.dropped == [inode, inode])
        try await world.mounts[0].close(inode, handle)
    }

    /// The answer to setattr brings the kernel new times, after which it would take old pages for new ones.
    @Test func oldPagesAreDroppedWithNewAttributes() async throws {
        let world = try World(mounts: 2) { $0.kernelAttributeValidity = 100 * Nanoseconds.second }
        let (kernel, inode, handle) = try await readOnTheFirst(world)
        _ = try await world.mounts[0].files.attributes(inode)
        let (other, writer) = try await world.mounts[1].open("a")
        try await world.mounts[1].write(other, writer, at: 0, [2])
        try await world.mounts[1].close(other, writer)
        #expect(kernel.dropped == [])
        _ = try await world.mounts[0].files.setAttributes(inode, AttributeChange(modified: 5), size: nil, handle: nil)
        #expect(kernel.dropped == [inode])
        try await world.mounts[0].close(inode, handle)
    }
}
