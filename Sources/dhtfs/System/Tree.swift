import Bytes
import Daemon
import Filesystem
import Glibc
import Metadata
import Model
import Namespace
import Runtime

/// The tree as commands use it: paths instead of inodes, one-line errors instead of numbers.
@LoopActor
final class Tree: Sendable {
    let files: DistributedFilesystem
    let metadata: any MetadataClient

    init(_ client: ClientStack) async throws(DaemonError) {
        metadata = try await client.services.openSession(name: "command \(getpid())")
        files = client.filesystem(metadata)
    }

    func close() async {
        try? await files.syncAll()
        await metadata.close()
    }

    /// The attributes of what is at `path`; symlinks are not followed.
    func find(_ path: String) async throws(DaemonError) -> Attributes {
        var attributes = try await naming(path) { () async throws(Errno) in try await self.files.attributes(.root).attributes }
        for name in try Self.names(path) {
            let parent = attributes.inode
            attributes = try await naming(path) { () async throws(Errno) in try await self.files.lookup(parent, name.bytes).attributes }
        }
        return attributes
    }

    /// The directory that holds `path`, and the last name.
    func parent(of path: String) async throws(DaemonError) -> (InodeID, [UInt8]) {
        let names = try Self.names(path)
        guard let last = names.last else { throw DaemonError(.usage, "\(path) names the root, not a file in it") }
        let directory = "/" + names.dropLast().map(\.text).joined(separator: "/")
        return (try await find(directory).inode, last.bytes)
    }

    /// Gives the file's bytes to `take` in order.
    func copyOut(_ path: String, _ take: @LoopActor (UnsafeRawBufferPointer) throws(DaemonError) -> Void) async throws(DaemonError) {
        let found = try await find(path)
        guard found.kind == .file else { throw DaemonError(.system, "\(path) is a \(found.kind), not a file") }
        let opened = try await naming(path) { () async throws(Errno) in try await self.files.open(found.inode, flags: O_RDONLY) }
        var offset: UInt64 = 0
        while true {
            let position = offset
            let slices = try await naming(path) { () async throws(Errno) in
                try await self.files.read(found.inode, handle: opened.handle, offset: position, count: 1 << 20)
            }
            let count = slices.reduce(0) { $0 + $1.count }
            if count == 0 { break }
            for slice in slices { try slice.withBytes { bytes throws(DaemonError) in try take(bytes) } }
            offset += UInt64(count)
        }
        await files.release(found.inode, handle: opened.handle)
    }

    /// Runs a step on `path`; its error number becomes one line.
    func naming<Result>(_ path: String, _ step: @LoopActor () async throws(Errno) -> Result) async throws(DaemonError) -> Result {
        do throws(Errno) { return try await step() } catch {
            throw DaemonError(.system, "\(path): \(String(cString: strerror(error.rawValue)))")
        }
    }

    /// The names on a path from the root; "." and empty ones are left out.
    nonisolated static func names(_ path: String) throws(DaemonError) -> [Name] {
        var names: [Name] = []
        for part in path.split(separator: "/") where part != "." {
            guard let name = Name(String(part)) else { throw DaemonError(.usage, "\(path): \"\(part)\" cannot be the name of a file") }
            names.append(name)
        }
        return names
    }
}
