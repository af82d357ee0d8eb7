import Filesystem
import FilesystemWorld
import Glibc
import Model
import Namespace
import Runtime
import TestSupport
import Testing

/// Advisory locks as handles see them. Who gets one when is the business of the metadata service.
@Suite(.serialized) @LoopActor struct LockTests {
    private func range(_ id: UInt64, _ mode: LockMode?, _ first: UInt64 = 0, _ last: UInt64 = LockRange.end) -> FileLock {
        FileLock(LockOwner(.posix, id), process: 1, LockRange(first, last) ?? .all, mode)
    }

    private func whole(_ id: UInt64, _ mode: LockMode?) -> FileLock { FileLock(LockOwner(.flock, id), process: 1, whole: mode) }

    /// The error of a lock that is not waited for; 0 if it was granted.
    private func set(_ mount: Mount, _ inode: InodeID, _ handle: UInt64, _ lock: FileLock) async -> Int32 {
        do throws(Errno) {
            try await mount.files.setLock(inode, handle: handle, lock, waits: false, interrupt: nil)
            return 0
        } catch { return error.rawValue }
    }

    @Test func errorNumbers() async throws {
        let world = try World(mounts: 2)
        let (inode, handle) = try await world.mount.create("file")
        let (_, other) = try await world.mounts[1].open("file")
        #expect(await set(world.mount, inode, handle, range(1, .exclusive, 0, 9)) == 0)
        #expect(await set(world.mounts[1], inode, other, range(1, .shared, 9, 9)) == EAGAIN)
        #expect(try await world.mounts[1].files.testLock(inode, handle: other, range(1, .shared))?.range == LockRange(0, 9))
        #expect(await set(world.mounts[1], inode, 999, range(1, .shared)) == EBADF)
        #expect(await set(world.mounts[1], inode, other, range(1, .exclusive, 10, 19)) == 0)
        let task = Task { @LoopActor in try await world.mount.files.setLock(inode, handle: handle, range(1, .exclusive, 10, 10), waits: true, interrupt: nil) }
        while world.leader.locks.table.waitingCount == 0 { await Task.yield() }
        await #expect(throws: Errno.deadlock) {
            try await world.mounts[1].files.setLock(inode, handle: other, range(1, .shared, 0, 0), waits: true, interrupt: nil)
        }
        let interrupt = Interrupt()
        interrupt.raise()
        await #expect(throws: Errno.interrupted) {
            try await world.mounts[1].files.setLock(inode, handle: other, range(7, .shared, 0, 0), waits: true, interrupt: interrupt)
        }
        #expect(await set(world.mounts[1], inode, other, range(1, nil)) == 0)
        try await task.value
    }

    /// fcntl(2): "released ... by any close" for a process; a lock of an open file goes with that.
    @Test func closing() async throws {
        let world = try World(mounts: 2)
        let (inode, first) = try await world.mount.create("file")
        let (_, second) = try await world.mount.open("file")
        let (_, other) = try await world.mounts[1].open("file")
        let files = world.mount.files
        #expect(await set(world.mount, inode, first, range(1, .exclusive, 0, 0)) == 0)
        #expect(await set(world.mount, inode, first, range(2, .exclusive, 1, 1)) == 0)
        #expect(await set(world.mount, inode, second, range(3, .exclusive, 2, 2)) == 0)
        #expect(await set(world.mount, inode, first, whole(50, .exclusive)) == 0)
        // A process closes another descriptor of the file.
        await files.closeLocks(inode, owner: 1)
        #expect(await set(world.mounts[1], inode, other, range(1, .exclusive, 0, 0)) == 0)
        #expect(await set(world.mounts[1], inode, other, range(1, .exclusive, 1, 1)) == EAGAIN)
        // It locks again through the one that is left; the other one goes, late.
        #expect(await set(world.mount, inode, second, range(1, .exclusive, 5, 5)) == 0)
        await files.release(inode, handle: first)
        #expect(await set(world.mounts[1], inode, other, range(1, .exclusive, 5, 5)) == EAGAIN)
        #expect(await set(world.mounts[1], inode, other, range(1, .exclusive, 2, 2)) == EAGAIN)
        // What belonged to the open file is gone with it.
        #expect(await set(world.mounts[1], inode, other, range(1, .exclusive, 1, 1)) == 0)
        #expect(await set(world.mounts[1], inode, other, whole(1, .exclusive)) == 0)
        await files.release(inode, handle: second)
        await world.mounts[1].files.closeLocks(inode, owner: 1)
        await world.mounts[1].files.release(inode, handle: other)
        let isEmpty = world.leader.locks.table.isEmpty
        #expect(isEmpty)
    }

    /// Whoever relied on a lock that is gone is told so, whatever comes next; nobody else is.
    @Test func aLostSession() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let (inode, handle) = try await mount.create("file")
        let (_, reader) = try await mount.open("file")
        let (plain, plainHandle) = try await mount.create("plain")
        try await mount.write(inode, handle, at: 0, [1, 2, 3])
        try await mount.sync(inode, handle)
        #expect(await set(mount, inode, handle, whole(50, .exclusive)) == 0)
        mount.metadata.loseSession()
        let (_, other) = try await world.mounts[1].open("file")
        #expect(await set(world.mounts[1], inode, other, whole(1, .exclusive)) == 0)
        await #expect(throws: Errno.io) { try await mount.write(inode, handle, at: 0, [9]) }
        await #expect(throws: Errno.io) { try await mount.read(inode, reader) }
        await #expect(throws: Errno.io) { try await mount.sync(inode, handle) }
        await #expect(throws: Errno.io) { _ = try await mount.files.setAttributes(inode, AttributeChange(), size: 0, handle: handle) }
        await #expect(throws: Errno.io) {
            _ = try await mount.files.copyRange(from: plain, handle: plainHandle, offset: 0, to: inode, targetHandle: handle, targetOffset: 0, count: 1)
        }
        await #expect(throws: Errno.io) { try await mount.files.allocate(inode, handle: handle, mode: 0, offset: 0, length: 100) }
        #expect(await set(mount, inode, handle, whole(50, .shared)) == EIO)
        #expect(await set(mount, inode, handle, whole(50, nil)) == 0)
        try await mount.write(plain, plainHandle, at: 0, [4])
        #expect(try await world.mounts[1].read(inode, other) == [1, 2, 3])
        await mount.files.release(inode, handle: handle)
        let (_, fresh) = try await mount.open("file")
        #expect(try await mount.read(inode, fresh) == [1, 2, 3])
        #expect(await set(mount, inode, fresh, whole(60, .exclusive)) == EAGAIN)
        #expect(await set(world.mounts[1], inode, other, whole(1, nil)) == 0)
        #expect(await set(mount, inode, fresh, whole(60, .exclusive)) == 0)
    }

    /// The session ends while a write waits for its lease: with the new session's lease it would come after what the next holder wrote.
    @Test func aWriteThatWaitsWhileTheSessionIsLost() async throws {
        let world = try World(mounts: 2)
        let mount = world.mount
        let (inode, handle) = try await mount.create("file")
        #expect(await set(mount, inode, handle, whole(50, .exclusive)) == 0)
        let (_, other) = try await world.mounts[1].open("file")
        try await world.mounts[1].write(inode, other, at: 0, [7, 7])
        // The write asks for the lease; the other mount's commit comes first, and meanwhile the session ends.
        var isAsked = false
        world.mounts[1].metadata.beforeAnswer = {
            guard !isAsked else { return }
            isAsked = true
            mount.metadata.loseSession()
        }
        await #expect(throws: Errno.io) { try await mount.write(inode, handle, at: 0, [9]) }
        #expect(isAsked)
        #expect(try await world.mounts[1].read(inode, other) == [7, 7])
    }
}
