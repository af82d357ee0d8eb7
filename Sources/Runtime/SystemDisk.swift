import CPosix
import CUV
import Glibc

/// The machine's own filesystems, by ordinary system calls on worker threads.
@LoopActor
package final class SystemDisk: Disk {
    private let threads: WorkerThreads

    /// - Parameter threads: not those that hash, so that syncs cannot hold up computing.
    package init(threads: WorkerThreads) { self.threads = threads }

    package func open(_ path: String, _ mode: DiskOpenMode) async throws(DiskError) -> any DiskFile {
        let threads = threads
        let descriptor = try await threads.run { () -> Result<Int32, DiskError> in
            let flags = mode == .createNew ? O_RDWR | O_CREAT | O_EXCL : O_RDWR
            let descriptor = retryingInterrupts { CPosix_open(path, flags, 0o600) }
            return descriptor < 0 ? .failure(.system("open", path)) : .success(descriptor)
        }.get()
        return SystemFile(descriptor: descriptor, path: path, threads: threads)
    }

    package func createDirectory(_ path: String) async throws(DiskError) {
        try await threads.run { Self.createDirectoryNow(path) }.get()
    }

    package func list(_ path: String) async throws(DiskError) -> [String] {
        try await threads.run { Self.listNow(path) }.get()
    }

    package func rename(_ from: String, to: String) async throws(DiskError) {
        try await threads.run { () -> Result<Void, DiskError> in
            Glibc.rename(from, to) == 0 ? .success(()) : .failure(.system("rename", from))
        }.get()
    }

    /// Removes a file or an empty directory.
    package func remove(_ path: String) async throws(DiskError) {
        try await threads.run { () -> Result<Void, DiskError> in
            if unlink(path) == 0 { return .success(()) }
            if errno == EISDIR, rmdir(path) == 0 { return .success(()) }
            return .failure(.system("remove", path))
        }.get()
    }

    package func syncDirectory(_ path: String) async throws(DiskError) {
        try await threads.run { Self.syncDirectoryNow(path) }.get()
    }

    package func space(at path: String) async throws(DiskError) -> DiskSpace {
        try await threads.run { () -> Result<DiskSpace, DiskError> in
            var status = statvfs()
            guard retryingInterrupts({ statvfs(path, &status) }) == 0 else { return .failure(.system("statvfs", path)) }
            let unit = UInt64(status.f_frsize)
            return .success(DiskSpace(total: UInt64(status.f_blocks) &* unit, available: UInt64(status.f_bavail) &* unit))
        }.get()
    }

    private nonisolated static func createDirectoryNow(_ path: String) -> Result<Void, DiskError> {
        if mkdir(path, 0o700) == 0 { return syncDirectoryNow(parent(of: path)) }
        switch errno {
        case EEXIST:
            var status = stat()
            guard stat(path, &status) == 0 else { return .failure(.system("stat", path)) }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                return .failure(DiskError(.exists, errno: EEXIST, "\(path) exists and is not a directory"))
            }
            return .success(())
        case ENOENT where parent(of: path) != path:
            if case .failure(let error) = createDirectoryNow(parent(of: path)) { return .failure(error) }
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else { return .failure(.system("mkdir", path)) }
            return syncDirectoryNow(parent(of: path))
        default:
            return .failure(.system("mkdir", path))
        }
    }

    private nonisolated static func listNow(_ path: String) -> Result<[String], DiskError> {
        guard let directory = opendir(path) else { return .failure(.system("opendir", path)) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        if errno != 0 { return .failure(.system("readdir", path)) }
        names.sort()
        return .success(names)
    }

    private nonisolated static func syncDirectoryNow(_ path: String) -> Result<Void, DiskError> {
        let descriptor = retryingInterrupts { CPosix_open(path, O_RDONLY | O_DIRECTORY, 0) }
        guard descriptor >= 0 else { return .failure(.system("open", path)) }
        defer { close(descriptor) }
        return fsync(descriptor) == 0 ? .success(()) : .failure(.system("fsync", path))
    }

    private nonisolated static func parent(of path: String) -> String {
        var rest = path[...]
        while rest.count > 1, rest.last == "/" { rest.removeLast() }
        guard let slash = rest.lastIndex(of: "/") else { return "." }
        return slash == rest.startIndex ? "/" : String(rest[..<slash])
    }
}

/// Calls again while a signal interrupts (EINTR). Never for fsync(2): what a repeated sync says is worth nothing.
func retryingInterrupts<Number: SignedInteger>(_ call: () -> Number) -> Number {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}

extension DiskError {
    /// The error of the system call that just failed on this thread.
    static func system(_ operation: String, _ path: String) -> DiskError {
        let number = Glibc.errno
        let code: Code =
            switch number {
            case ENOSPC, EDQUOT: .noSpace
            case ENOENT: .notFound
            case EEXIST, ENOTEMPTY: .exists
            case EACCES, EPERM, EROFS: .denied
            default: .failed
            }
        return DiskError(code, errno: number, "\(operation) \(path): \(String(cString: strerror(number)))")
    }
}
