import Bytes
import CPosix
import CUV
import Glibc

/// A file opened by `SystemDisk`.
@LoopActor
final class SystemFile: DiskFile {
    private nonisolated let descriptor: Int32
    private nonisolated let path: String
    private nonisolated let threads: WorkerThreads

    init(descriptor: Int32, path: String, threads: WorkerThreads) {
        self.descriptor = descriptor
        self.path = path
        self.threads = threads
    }

    deinit {
        // Closing the last reference to a removed file frees its blocks, which can take long.
        let descriptor = descriptor
        threads.start { close(descriptor) }
    }

    func length() async throws(DiskError) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system("fstat", path) }
        return UInt64(max(0, status.st_size))
    }

    func read(at offset: UInt64, count: Int) async throws(DiskError) -> Buffer {
        guard count >= 0, let start = Int(exactly: offset), !start.addingReportingOverflow(Int(count)).overflow else {
            throw DiskError(.failed, errno: EINVAL, "read \(path): range out of bounds")
        }
        let buffer = BufferPool.shared.buffer(capacity: count)
        if count == 0 { return buffer }
        let cached = CPosix_pread_nowait(descriptor, buffer.base, count, start)
        if cached == 0 { return buffer }
        buffer.count = max(0, cached)
        if cached == count { return buffer }
        try await threads.run { self.fill(buffer, to: count, from: start) }.get()
        return buffer
    }

    func write(_ parts: [Slice], at offset: UInt64, sync: Bool) async throws(DiskError) {
        guard let start = Int(exactly: offset) else { throw DiskError(.failed, errno: EFBIG, "write \(path): offset out of bounds") }
        try await threads.run { self.writeNow(parts, at: start, sync: sync) }.get()
    }

    func sync() async throws(DiskError) {
        try await threads.run { self.syncNow() }.get()
    }

    func allocate(offset: UInt64, length: UInt64) async throws(DiskError) {
        guard let start = Int(exactly: offset), let count = Int(exactly: length) else {
            throw DiskError(.failed, errno: EFBIG, "fallocate \(path): range out of bounds")
        }
        if count == 0 { return }
        try await threads.run { () -> Result<Void, DiskError> in
            retryingInterrupts { CPosix_fallocate(self.descriptor, 0, start, count) } == 0
                ? .success(()) : .failure(.system("fallocate", self.path))
        }.get()
    }

    func truncate(to length: UInt64) async throws(DiskError) {
        guard let length = Int(exactly: length) else { throw DiskError(.failed, errno: EFBIG, "truncate \(path): out of bounds") }
        try await threads.run { () -> Result<Void, DiskError> in
            retryingInterrupts { ftruncate(self.descriptor, length) } == 0 ? .success(()) : .failure(.system("ftruncate", self.path))
        }.get()
    }

    /// Reads on behind what the buffer holds until `count` bytes or the end of the file.
    private nonisolated func fill(_ buffer: Buffer, to count: Int, from start: Int) -> Result<Void, DiskError> {
        while buffer.count < count {
            let got = retryingInterrupts {
                pread(descriptor, buffer.base + buffer.count, count - buffer.count, start + Int(buffer.count))
            }
            if got < 0 { return .failure(.system("read", path)) }
            if got == 0 { break }
            buffer.count += got
        }
        return .success(())
    }

    private nonisolated func writeNow(_ parts: [Slice], at start: Int, sync: Bool) -> Result<Void, DiskError> {
        var vectors = parts.filter { !$0.isEmpty }.map { iovec(iov_base: $0.buffer.base + $0.offset, iov_len: $0.count) }
        var position = start
        var first = 0
        while first < vectors.count {
            let batch = min(vectors.count - first, Self.vectorsMax)
            let written = vectors.withUnsafeBufferPointer { all in
                retryingInterrupts { pwritev(descriptor, all.baseAddress.map { $0 + first }, Int32(batch), position) }
            }
            if written < 0 { return .failure(.system("write", path)) }
            // Writing more than nothing and getting nothing done, without an error, would go on for ever.
            if written == 0 { return .failure(DiskError(.failed, errno: EIO, "write \(path): nothing was written")) }
            position += Int(written)
            var rest = written
            while rest > 0 {
                let taken = min(rest, vectors[first].iov_len)
                vectors[first].iov_base = vectors[first].iov_base.map { $0 + taken }
                vectors[first].iov_len -= taken
                rest -= taken
                if vectors[first].iov_len == 0 { first += 1 }
            }
        }
        // The vectors are bare addresses; this keeps the buffers until the kernel has them all.
        withExtendedLifetime(parts) {}
        return sync ? syncNow() : .success(())
    }

    private nonisolated func syncNow() -> Result<Void, DiskError> {
        fdatasync(descriptor) == 0 ? .success(()) : .failure(.system("fdatasync", path))
    }

    /// IOV_MAX of Linux (limits.h(0p)).
    private nonisolated static let vectorsMax = 1024
}
