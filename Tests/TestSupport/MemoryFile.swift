import Bytes
import Runtime

/// An open file of a `MemoryDisk`.
@LoopActor
final class MemoryFile: DiskFile {
    private let disk: MemoryDisk
    private let path: String
    private let content: MemoryContent
    private let generation: Int

    init(disk: MemoryDisk, path: String, content: MemoryContent) {
        self.disk = disk
        self.path = path
        self.content = content
        generation = disk.generation
    }

    func length() async throws(DiskError) -> UInt64 {
        try await begin(.length)
        return UInt64(content.bytes.count)
    }

    func read(at offset: UInt64, count: Int) async throws(DiskError) -> Buffer {
        try await begin(.read)
        let buffer = BufferPool.shared.buffer(capacity: count)
        guard let start = Int(exactly: offset), start < content.bytes.count else { return buffer }
        let end = min(content.bytes.count, start + count)
        content.bytes.withUnsafeBytes { buffer.storage.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
        buffer.count = end - start
        return buffer
    }

    func write(_ parts: [Slice], at offset: UInt64, sync: Bool) async throws(DiskError) {
        await Task.yield()
        try checkAlive()
        guard let start = Int(exactly: offset) else { throw DiskError(.failed, errno: 27, "write \(path): offset out of bounds") }
        let bytes = parts.flatMap(\.array)
        if let code = disk.faultCode(.write, path) {
            content.change(.write(offset: start, bytes: Array(bytes.prefix(bytes.count / 2))))
            throw MemoryDisk.injected(code, .write, path)
        }
        guard disk.hasRoom(for: start + bytes.count - content.bytes.count) else {
            throw DiskError(.noSpace, errno: 28, "write \(path): no space left")
        }
        content.change(.write(offset: start, bytes: bytes))
        if sync { try syncNow() }
    }

    func sync() async throws(DiskError) {
        await Task.yield()
        try checkAlive()
        try syncNow()
    }

    func allocate(offset: UInt64, length: UInt64) async throws(DiskError) {
        try await begin(.allocate)
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow, let end = Int(exactly: end) else { throw DiskError(.failed, errno: 27, "allocate \(path): out of bounds") }
        guard disk.hasRoom(for: end - content.bytes.count) else {
            throw DiskError(.noSpace, errno: 28, "allocate \(path): no space left")
        }
        if end > content.bytes.count { content.change(.resize(end)) }
    }

    func truncate(to length: UInt64) async throws(DiskError) {
        try await begin(.truncate)
        guard let length = Int(exactly: length), disk.hasRoom(for: length - content.bytes.count) else {
            throw DiskError(.noSpace, errno: 28, "truncate \(path): no space left")
        }
        content.change(.resize(length))
    }

    private func syncNow() throws(DiskError) {
        if let code = disk.faultCode(.sync, path) {
            // The kernel marks the pages clean, so nothing writes them any more.
            content.pending.removeAll()
            throw MemoryDisk.injected(code, .sync, path)
        }
        content.sync()
    }

    private func begin(_ operation: MemoryDisk.Operation) async throws(DiskError) {
        try await disk.begin(operation, path)
        try checkAlive()
    }

    private func checkAlive() throws(DiskError) {
        guard generation == disk.generation else { throw DiskError(.failed, errno: 5, "\(path): opened before the crash") }
    }
}
