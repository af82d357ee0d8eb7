import Bytes
import Runtime

/// An open file of a `MemoryDisk`.
@LoopActor
final class MemoryFile: DiskFile {
    private let process: MemoryDiskProcess
    private let path: String
    private let content: MemoryContent
    private var syncFailuresTold: Int

    init(process: MemoryDiskProcess, path: String, content: MemoryContent) {
        self.process = process
        self.path = path
        self.content = content
        syncFailuresTold = content.syncFailures
    }

    private var disk: MemoryDisk { process.disk }

    func length() async throws(DiskError) -> UInt64 {
        try await process.perform(.length) { () throws(DiskError) in
            try self.check(.length)
            return UInt64(self.content.length)
        }
    }

    func read(at offset: UInt64, count: Int) async throws(DiskError) -> Buffer {
        try await process.perform(.read, bytes: count) { () throws(DiskError) in
            try self.check(.read)
            let buffer = BufferPool.shared.buffer(capacity: count)
            guard let start = Int(exactly: offset), start < self.content.length else { return buffer }
            let end = min(self.content.length, start + count)
            if self.disk.strikes(self.disk.faults.rot), let random = self.disk.random {
                let page = (start + random.below(end - start)) / MemoryContent.pageBytes
                _ = self.disk.flipBit(self.content, in: page, random)
            }
            self.content.read(at: start, into: UnsafeMutableRawBufferPointer(rebasing: buffer.storage[..<(end - start)]))
            buffer.count = end - start
            return buffer
        }
    }

    func write(_ parts: [Slice], at offset: UInt64, sync: Bool) async throws(DiskError) {
        let count = parts.reduce(0) { $0 + $1.count }
        guard let start = Int(exactly: offset), start <= Int.max - count else {
            throw DiskError(.failed, errno: 27, "write \(path): offset out of bounds")
        }
        try await process.perform(.write, bytes: count) { () throws(DiskError) in try self.writeNow(parts, count: count, at: start) }
        if sync { try await self.sync() }
    }

    private func writeNow(_ parts: [Slice], count: Int, at start: Int) throws(DiskError) {
        if let code = disk.faultCode(.write, path) {
            content.write(parts, limit: min(count, disk.takeKeptBytes(of: count)), at: start)
            throw MemoryDisk.injected(code, .write, path)
        }
        guard disk.hasRoom(for: start + count - content.length) else {
            throw DiskError(.noSpace, errno: 28, "write \(path): no space left")
        }
        if let (victim, place) = disk.misdirected(path) {
            disk.overwrite(victim, at: place, with: parts)
            if start + count > content.length { content.resize(to: start + count) }
        } else {
            content.write(parts, at: start)
        }
    }

    func sync() async throws(DiskError) {
        // A sync covers the writes that returned before it began.
        let begun = content.changes
        try await process.perform(.sync) { () throws(DiskError) in
            if let code = self.disk.faultCode(.sync, self.path) {
                self.content.failSync(random: self.disk.random)
                self.syncFailuresTold = self.content.syncFailures
                throw MemoryDisk.injected(code, .sync, self.path)
            }
            if self.syncFailuresTold < self.content.syncFailures {
                self.syncFailuresTold = self.content.syncFailures
                throw DiskError(.failed, errno: 5, "sync \(self.path): pages were lost before")
            }
            if !self.disk.strikes(self.disk.faults.lostSyncs) { self.content.sync(upTo: begun) }
        }
    }

    func allocate(offset: UInt64, length: UInt64) async throws(DiskError) {
        try await process.perform(.allocate) { () throws(DiskError) in
            try self.check(.allocate)
            let (end, overflow) = offset.addingReportingOverflow(length)
            guard !overflow, let end = Int(exactly: end) else {
                throw DiskError(.failed, errno: 27, "allocate \(self.path): out of bounds")
            }
            guard self.disk.hasRoom(for: end - self.content.length) else {
                throw DiskError(.noSpace, errno: 28, "allocate \(self.path): no space left")
            }
            if end > self.content.length { self.content.resize(to: end) }
        }
    }

    func truncate(to length: UInt64) async throws(DiskError) {
        try await process.perform(.truncate) { () throws(DiskError) in
            try self.check(.truncate)
            guard let length = Int(exactly: length), self.disk.hasRoom(for: length - self.content.length) else {
                throw DiskError(.noSpace, errno: 28, "truncate \(self.path): no space left")
            }
            self.content.resize(to: length)
        }
    }

    private func check(_ operation: MemoryDisk.Operation) throws(DiskError) {
        if let code = disk.faultCode(operation, path) { throw MemoryDisk.injected(code, operation, path) }
    }
}
