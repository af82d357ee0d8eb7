import Bytes
package import Runtime
package import TestSupport

/// How quick a simulated disk is. Times in nanoseconds.
package struct DiskSpeed: Equatable, Sendable {
    package var read: UInt64 = 80_000
    package var write: UInt64 = 20_000
    package var sync: UInt64 = 200_000
    /// Everything takes so many times as long.
    package var slowness: UInt64 = 1

    package init() {}
}

/// A machine's disk as one process has it: operations take time, wait while the process is frozen, and never return to a dead one.
///
/// A write is in the page cache from the moment it is asked for; a sync counts from the moment it returns. So a power loss in between finds un-synced
/// writes, which the disk keeps, tears or loses.
@LoopActor
package final class ProcessDisk: Disk {
    let disk: MemoryDisk
    let time: SimulatedTime
    let process: SimulatedProcess
    let random: SeededRandom
    let speed: @LoopActor () -> DiskSpeed

    package init(
        _ disk: MemoryDisk, time: SimulatedTime, process: SimulatedProcess, random: SeededRandom, speed: @escaping @LoopActor () -> DiskSpeed
    ) {
        self.disk = disk
        self.time = time
        self.process = process
        self.random = random
        self.speed = speed
    }

    /// Returns after about `nanoseconds`, not while the process is frozen, never when it is dead.
    func wait(_ nanoseconds: UInt64) async {
        let real = (nanoseconds / 2 + random.next() % (nanoseconds + 1)) * speed().slowness
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            if process.isDead { return }
            _ = time.schedule(after: real) { [process] in process.deliver { continuation.resume() } }
        }
    }

    package func open(_ path: String, _ mode: DiskOpenMode) async throws(DiskError) -> any DiskFile {
        await wait(speed().write)
        return ProcessFile(try await disk.open(path, mode), self)
    }

    package func createDirectory(_ path: String) async throws(DiskError) {
        await wait(speed().sync)
        try await disk.createDirectory(path)
    }

    package func list(_ path: String) async throws(DiskError) -> [String] {
        await wait(speed().write)
        return try await disk.list(path)
    }

    package func rename(_ from: String, to: String) async throws(DiskError) {
        await wait(speed().write)
        try await disk.rename(from, to: to)
    }

    package func remove(_ path: String) async throws(DiskError) {
        await wait(speed().write)
        try await disk.remove(path)
    }

    package func syncDirectory(_ path: String) async throws(DiskError) {
        await wait(speed().sync)
        try await disk.syncDirectory(path)
    }

    package func space(at path: String) async throws(DiskError) -> DiskSpace {
        await wait(speed().write)
        return try await disk.space(at: path)
    }
}

/// An open file of one process.
@LoopActor
private final class ProcessFile: DiskFile {
    private let file: any DiskFile
    private let owner: ProcessDisk

    init(_ file: any DiskFile, _ owner: ProcessDisk) {
        self.file = file
        self.owner = owner
    }

    func length() async throws(DiskError) -> UInt64 {
        await owner.wait(owner.speed().write)
        return try await file.length()
    }

    func read(at offset: UInt64, count: Int) async throws(DiskError) -> Buffer {
        await owner.wait(owner.speed().read)
        return try await file.read(at: offset, count: count)
    }

    func write(_ parts: [Slice], at offset: UInt64, sync: Bool) async throws(DiskError) {
        // A dead process may still have had this call on its lips.
        if owner.process.isDead { await owner.wait(0) }
        try await file.write(parts, at: offset, sync: false)
        await owner.wait(sync ? owner.speed().sync : owner.speed().write)
        if sync { try await file.sync() }
    }

    func sync() async throws(DiskError) {
        await owner.wait(owner.speed().sync)
        try await file.sync()
    }

    func allocate(offset: UInt64, length: UInt64) async throws(DiskError) {
        await owner.wait(owner.speed().write)
        try await file.allocate(offset: offset, length: length)
    }

    func truncate(to length: UInt64) async throws(DiskError) {
        await owner.wait(owner.speed().write)
        try await file.truncate(to: length)
    }
}
