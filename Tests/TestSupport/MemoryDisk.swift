import Bytes
package import Runtime

/// A disk in memory that forgets at a crash what was not synced, and fails when it is told to.
///
/// Content is durable after a sync of the file, names after a sync of their directory, as POSIX has it and no better.
@LoopActor
package final class MemoryDisk: Disk {
    /// What is being done when a fault is asked for.
    package enum Operation: Sendable, CaseIterable {
        case open, createDirectory, list, rename, remove, syncDirectory, space, length, read, write, sync, allocate, truncate
    }

    /// Asked before each operation: a code makes it fail. A failed write leaves half of its bytes; a failed sync makes sure that what was to
    /// be synced is lost at a crash.
    package var fault: (@LoopActor (_ operation: Operation, _ path: String) -> DiskError.Code?)?
    /// Fails the operation with this number (see `operations`), once.
    package var failingOperation: (number: Int, code: DiskError.Code)?
    /// Operations so far.
    package private(set) var operations = 0
    /// Bytes that all files together may have.
    package var capacity: UInt64
    private let root = MemoryDirectory()
    /// Counts crashes; files opened before are dead afterwards.
    private(set) var generation = 0

    package init(capacity: UInt64 = 1 << 40) { self.capacity = capacity }

    package func open(_ path: String, _ mode: DiskOpenMode) async throws(DiskError) -> any DiskFile {
        try await begin(.open, path)
        let (directory, name) = try locate(path)
        switch (directory.entries[name], mode) {
        case (.file(let file), .existing): return MemoryFile(disk: self, path: path, content: file)
        case (nil, .createNew):
            let file = MemoryContent()
            directory.entries[name] = .file(file)
            return MemoryFile(disk: self, path: path, content: file)
        case (nil, .existing): throw DiskError(.notFound, errno: 2, "open \(path): no such file")
        case (.file, .createNew): throw DiskError(.exists, errno: 17, "open \(path): exists")
        case (.directory, _): throw DiskError(.failed, errno: 21, "open \(path): is a directory")
        }
    }

    package func createDirectory(_ path: String) async throws(DiskError) {
        try await begin(.createDirectory, path)
        var directory = root
        for name in Self.components(path) {
            switch directory.entries[name] {
            case .directory(let next): directory = next
            case .file: throw DiskError(.exists, errno: 17, "mkdir \(path): \(name) is a file")
            case nil:
                let next = MemoryDirectory()
                directory.entries[name] = .directory(next)
                directory.durable[name] = .directory(next)
                directory = next
            }
        }
    }

    package func list(_ path: String) async throws(DiskError) -> [String] {
        try await begin(.list, path)
        return try directory(path).entries.keys.sorted()
    }

    package func rename(_ from: String, to: String) async throws(DiskError) {
        try await begin(.rename, from)
        let (source, sourceName) = try locate(from)
        let (target, targetName) = try locate(to)
        guard let entry = source.entries[sourceName] else { throw DiskError(.notFound, errno: 2, "rename \(from): no such file") }
        source.entries[sourceName] = nil
        target.entries[targetName] = entry
    }

    package func remove(_ path: String) async throws(DiskError) {
        try await begin(.remove, path)
        let (directory, name) = try locate(path)
        switch directory.entries[name] {
        case nil: throw DiskError(.notFound, errno: 2, "remove \(path): no such file")
        case .directory(let inner) where !inner.entries.isEmpty: throw DiskError(.exists, errno: 39, "remove \(path): not empty")
        default: directory.entries[name] = nil
        }
    }

    package func syncDirectory(_ path: String) async throws(DiskError) {
        try await begin(.syncDirectory, path)
        let directory = try directory(path)
        directory.durable = directory.entries
    }

    package func space(at path: String) async throws(DiskError) -> DiskSpace {
        try await begin(.space, path)
        let used = UInt64(root.size)
        return DiskSpace(total: capacity, available: capacity > used ? capacity - used : 0)
    }

    /// What power loss does: un-synced content and names are gone, and open files are dead.
    /// - Parameter random: lets each un-synced write survive or not, or survive in part; without it none does.
    package func crash(random: SeededRandom? = nil) {
        generation += 1
        root.crash(random: random)
    }

    /// The content of a file as a reader would see it now; nil if there is none.
    package func content(_ path: String) -> [UInt8]? {
        guard let (directory, name) = try? locate(path), case .file(let file) = directory.entries[name] else { return nil }
        return file.bytes
    }

    /// Changes a file behind everybody's back, durably, as rot does. False if there is no such file.
    @discardableResult
    package func corrupt(_ path: String, _ change: (inout [UInt8]) -> Void) -> Bool {
        guard let (directory, name) = try? locate(path), case .file(let file) = directory.entries[name] else { return false }
        change(&file.bytes)
        file.durable = file.bytes
        file.pending.removeAll()
        return true
    }

    /// Paths of all files, sorted.
    package var files: [String] { root.files(under: "").sorted() }

    func begin(_ operation: Operation, _ path: String) async throws(DiskError) {
        await Task.yield()
        if let code = faultCode(operation, path) { throw Self.injected(code, operation, path) }
    }

    func faultCode(_ operation: Operation, _ path: String) -> DiskError.Code? {
        operations += 1
        if let (number, code) = failingOperation, number == operations {
            failingOperation = nil
            return code
        }
        return fault?(operation, path)
    }

    static func injected(_ code: DiskError.Code, _ operation: Operation, _ path: String) -> DiskError {
        DiskError(code, errno: code == .noSpace ? 28 : 5, "\(operation) \(path): injected fault")
    }

    /// Whether all files may grow by so much.
    func hasRoom(for growth: Int) -> Bool { growth <= 0 || UInt64(root.size + growth) <= capacity }

    private func locate(_ path: String) throws(DiskError) -> (MemoryDirectory, String) {
        var names = Self.components(path)
        guard let last = names.popLast() else { throw DiskError(.failed, errno: 21, "\(path): is the root") }
        return (try directory("/" + names.joined(separator: "/")), last)
    }

    private func directory(_ path: String) throws(DiskError) -> MemoryDirectory {
        var directory = root
        for name in Self.components(path) {
            guard case .directory(let next) = directory.entries[name] else {
                throw DiskError(.notFound, errno: 2, "\(path): no such directory")
            }
            directory = next
        }
        return directory
    }

    private static func components(_ path: String) -> [String] { path.split(separator: "/").map(String.init) }
}
