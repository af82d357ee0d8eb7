import Blocks
import Bytes
import Digest
package import Filesystem
import Glibc
import Metadata
package import Model
package import Namespace
package import Runtime
import Telemetry
package import TestSupport

/// Several mounts of one tree.
@LoopActor
package final class World {
    package let memory: MemoryWorld
    package let leader: FakeLeader
    package let blocks: MemoryBlocks
    package let mounts: [Mount]
    package var capacity: (total: UInt64, available: UInt64) = (1 << 40, 1 << 39)

    package init(mounts count: Int = 1, seed: UInt64 = 1, jittery: Bool = false, _ configure: (inout FilesystemOptions) -> Void = { _ in }) throws {
        memory = MemoryWorld(seed: seed)
        leader = try FakeLeader(clock: memory.clock, random: memory.random)
        blocks = MemoryBlocks(random: memory.random)
        leader.isJittery = jittery
        blocks.isJittery = jittery
        var options = FilesystemOptions()
        configure(&options)
        let environment = memory.node(1)
        var mounts: [Mount] = []
        for _ in 0..<count {
            let metadata = FakeMetadata(leader)
            let files = DistributedFilesystem(
                metadata: metadata, blocks: blocks, environment: environment, options: options,
                log: Log(component: "filesystem", level: .error)
            ) { (1 << 40, 1 << 39) }
            mounts.append(Mount(files: files, metadata: metadata))
        }
        self.mounts = mounts
    }

    package var clock: VirtualClock { memory.clock }
    package var mount: Mount { mounts[0] }
}

/// One mount, with the calls of a process in few words.
@LoopActor
package final class Mount {
    package let files: DistributedFilesystem
    package let metadata: FakeMetadata
    package let caller = Caller(uid: 1000, gid: 1000)

    package init(files: DistributedFilesystem, metadata: FakeMetadata) {
        self.files = files
        self.metadata = metadata
    }

    package func create(_ name: String, in parent: InodeID = .root, flags: Int32 = O_RDWR) async throws -> (InodeID, UInt64) {
        let (entry, open) = try await files.create(parent, Array(name.utf8), mode: 0o644, flags: flags, caller)
        return (entry.attributes.inode, open.handle)
    }

    package func open(_ name: String, in parent: InodeID = .root, flags: Int32 = O_RDWR) async throws -> (InodeID, UInt64) {
        let entry = try await files.lookup(parent, Array(name.utf8))
        return (entry.attributes.inode, try await files.open(entry.attributes.inode, flags: flags).handle)
    }

    package func lookup(_ name: String, in parent: InodeID = .root) async throws -> Attributes {
        try await files.lookup(parent, Array(name.utf8)).attributes
    }

    package func makeDirectory(_ name: String, in parent: InodeID = .root) async throws -> InodeID {
        try await files.makeDirectory(parent, Array(name.utf8), mode: 0o755, caller).attributes.inode
    }

    package func write(_ inode: InodeID, _ handle: UInt64, at offset: UInt64, _ bytes: [UInt8]) async throws {
        let count = try await files.write(inode, handle: handle, offset: offset, Slice(copying: bytes))
        precondition(count == bytes.count)
    }

    package func read(_ inode: InodeID, _ handle: UInt64, at offset: UInt64 = 0, _ count: Int = 1 << 26) async throws -> [UInt8] {
        try await files.read(inode, handle: handle, offset: offset, count: count).flatMap(\.array)
    }

    /// Writes a whole new file.
    package func put(_ name: String, _ bytes: [UInt8], in parent: InodeID = .root) async throws {
        let (inode, handle) = try await create(name, in: parent, flags: O_RDWR | O_TRUNC)
        try await write(inode, handle, at: 0, bytes)
        try await close(inode, handle)
    }

    package func contents(_ name: String, in parent: InodeID = .root) async throws -> [UInt8] {
        let (inode, handle) = try await open(name, in: parent, flags: O_RDONLY)
        let bytes = try await read(inode, handle)
        try await close(inode, handle)
        return bytes
    }

    package func close(_ inode: InodeID, _ handle: UInt64) async throws {
        do {
            try await files.flush(inode, handle: handle)
        } catch {
            await files.release(inode, handle: handle)
            throw error
        }
        await files.release(inode, handle: handle)
    }

    package func sync(_ inode: InodeID, _ handle: UInt64) async throws { try await files.sync(inode, handle: handle, dataOnly: false) }

    package func truncate(_ inode: InodeID, to size: UInt64) async throws {
        _ = try await files.setAttributes(inode, AttributeChange(), size: size, handle: nil)
    }

    package func names(_ directory: InodeID = .root, batch: Int = 100, plus: Bool = true) async throws -> [String] {
        let handle = try await files.openDirectory(directory)
        var names: [String] = []
        var position: UInt64 = 0
        while true {
            let items = try await files.readDirectory(directory, handle: handle, position: position, plus: plus)
            guard !items.isEmpty else { break }
            for item in items.prefix(batch) {
                names.append(String(decoding: item.name, as: UTF8.self))
                position = item.next
            }
        }
        await files.releaseDirectory(directory, handle: handle)
        return names
    }
}
