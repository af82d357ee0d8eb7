import Bytes
import Daemon
import Filesystem
import Glibc
import Model
import Namespace
import Runtime

/// `dhtfs put`, `get`, `cat` and `stat`: files without a mount.
enum FileCommands {
    static let put = Command(
        name: "put", summary: "store a local file in the tree, synced", operands: ["LOCAL", "PATH"], flags: [.data, .config, .set],
        details: "LOCAL may be - for standard input. PATH is from the root of the tree; its directory must exist. An existing file is replaced as a whole.", run: putFile)

    static let get = Command(
        name: "get", summary: "copy a file of the tree to a local file", operands: ["PATH", "LOCAL"], flags: [.data, .config, .set], run: getFile)

    static let cat = Command(
        name: "cat", summary: "print a file of the tree", operands: ["PATH"], flags: [.data, .config, .set], run: catFile)

    static let stat = Command(
        name: "stat", summary: "show attributes of a file or directory of the tree", operands: ["PATH"], flags: [.data, .config, .set, .json], run: statFile)

    /// Bytes moved per step.
    private static let stepBytes = 1 << 20

    @LoopActor private static func putFile(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let local = arguments.operands[0]
        let descriptor = local == "-" ? STDIN_FILENO : open(local, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw DaemonError(.system, "cannot read \(local): \(String(cString: strerror(errno)))") }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        return try await withTree(arguments) { tree throws(DaemonError) in
            let path = arguments.operands[1]
            let (parent, name) = try await tree.parent(of: path)
            // Stored under another name first, so that readers see the old file or the whole new one.
            let temporary = Array(".\(getpid()).dhtfs-put".utf8)
            let caller = Caller(uid: getuid(), gid: getgid())
            let (entry, opened) = try await tree.naming(path) { () async throws(Errno) in
                try await tree.files.create(parent, temporary, mode: 0o644, flags: O_WRONLY, caller)
            }
            let inode = entry.attributes.inode
            do throws(DaemonError) {
                var offset: UInt64 = 0
                while let chunk = try readChunk(descriptor, local) {
                    let count = chunk.count
                    let position = offset
                    _ = try await tree.naming(path) { () async throws(Errno) in
                        try await tree.files.write(inode, handle: opened.handle, offset: position, chunk)
                    }
                    offset += UInt64(count)
                }
                try await tree.naming(path) { () async throws(Errno) in try await tree.files.sync(inode, handle: opened.handle, dataOnly: false) }
                await tree.files.release(inode, handle: opened.handle)
                try await tree.naming(path) { () async throws(Errno) in
                    try await tree.files.rename(parent, temporary, to: parent, name, mode: .replace)
                }
            } catch {
                try? await tree.files.unlink(parent, temporary)
                throw error
            }
            return 0
        }
    }

    private static func readChunk(_ descriptor: Int32, _ local: String) throws(DaemonError) -> Slice? {
        let buffer = BufferPool.shared.buffer(capacity: stepBytes)
        while buffer.count < stepBytes {
            let count = read(descriptor, buffer.base + buffer.count, stepBytes - buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw DaemonError(.system, "cannot read \(local): \(String(cString: strerror(errno)))")
            }
            if count == 0 { break }
            buffer.count += count
        }
        return buffer.count == 0 ? nil : buffer.slice
    }

    @LoopActor private static func getFile(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let local = arguments.operands[1]
        let temporary = "\(local).\(getpid()).part"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw DaemonError(.system, "cannot write \(local): \(String(cString: strerror(errno)))") }
        do throws(DaemonError) {
            _ = try await withTree(arguments) { tree throws(DaemonError) in
                try await tree.copyOut(arguments.operands[0]) { bytes throws(DaemonError) in
                    var rest = bytes
                    while !rest.isEmpty {
                        let count = write(descriptor, rest.baseAddress, rest.count)
                        if count < 0 {
                            if errno == EINTR { continue }
                            throw DaemonError(.system, "cannot write \(local): \(String(cString: strerror(errno)))")
                        }
                        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                    }
                }
                return 0
            }
            close(descriptor)
            guard rename(temporary, local) == 0 else { throw DaemonError(.system, "cannot write \(local): \(String(cString: strerror(errno)))") }
            return 0
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
    }

    @LoopActor private static func catFile(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        try await withTree(arguments) { tree throws(DaemonError) in
            try await tree.copyOut(arguments.operands[0]) { bytes throws(DaemonError) in Terminal.write(bytes, to: STDOUT_FILENO) }
            return 0
        }
    }

    @LoopActor private static func statFile(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        try await withTree(arguments) { tree throws(DaemonError) in
            let found = try await tree.find(arguments.operands[0])
            let octal = String(found.mode, radix: 8)
            if arguments.isOn("--json") {
                let json = JSON.object([
                    ("path", .string(arguments.operands[0])), ("inode", .count(found.inode.rawValue)), ("kind", .string("\(found.kind)")), ("mode", .string(octal)),
                    ("uid", .integer(Int64(found.uid))), ("gid", .integer(Int64(found.gid))), ("links", .integer(Int64(found.links))),
                    ("size", .count(found.size)), ("allocated", .count(found.allocated)), ("modified_ns", .integer(found.modified)),
                    ("changed_ns", .integer(found.changed)), ("accessed_ns", .integer(found.accessed)), ("version", .count(found.version)),
                ])
                Terminal.print(json.text)
                return 0
            }
            let rows = [
                ["path", arguments.operands[0]], ["inode", "\(found.inode)"], ["kind", "\(found.kind)"], ["mode", octal], ["owner", "\(found.uid):\(found.gid)"],
                ["links", "\(found.links)"], ["size", "\(found.size) (\(Terminal.bytes(found.size)))"], ["allocated", Terminal.bytes(found.allocated)],
                ["modified", Terminal.time(found.modified)], ["changed", Terminal.time(found.changed)],
            ]
            Terminal.print(Terminal.table(rows))
            return 0
        }
    }

    /// Opens the tree, runs `body`, and ends the session in order.
    @LoopActor static func withTree(
        _ arguments: Arguments, _ body: @LoopActor (Tree) async throws(DaemonError) -> Int32
    ) async throws(DaemonError) -> Int32 {
        let client = try ClientStack(try Settings(arguments))
        let tree = try await Tree(client)
        let result: Result<Int32, DaemonError>
        do throws(DaemonError) { result = .success(try await body(tree)) } catch { result = .failure(error) }
        await tree.close()
        return try result.get()
    }
}
