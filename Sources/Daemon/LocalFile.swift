import CPosix
import Glibc

/// Small files of a data directory, read and written whole. Blocking: for start-up and commands, never on a busy loop.
package enum LocalFile {
    /// Largest file that is read: configuration and certificates are far smaller.
    private static let bytesMax = 1 << 20

    /// - Throws: `.system` with the path and the system's reason.
    package static func read(_ path: String) throws(DaemonError) -> [UInt8] {
        let descriptor = CPosix_open(path, O_RDONLY, 0)
        guard descriptor >= 0 else { throw systemError("cannot read \(path)") }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw systemError("cannot read \(path)")
            }
            if count == 0 { return content }
            content.append(contentsOf: chunk[..<count])
            guard content.count <= bytesMax else { throw DaemonError(.system, "\(path) is larger than 1 MiB; that is not what belongs there") }
        }
    }

    /// Replaces a file (mode 0600) so that a crash leaves the old or the new content: a new file is written and synced, renamed over the old one, and the directory
    /// is synced.
    package static func write(_ content: [UInt8], to path: String) throws(DaemonError) {
        let temporary = "\(path).\(getpid()).new"
        let descriptor = CPosix_open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0 else { throw systemError("cannot write \(path)") }
        var offset = 0
        while offset < content.count {
            let count = content.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + offset }, content.count - offset) }
            if count < 0 {
                if errno == EINTR { continue }
                throw abandon(temporary, descriptor, path)
            }
            offset += count
        }
        guard fsync(descriptor) == 0 else { throw abandon(temporary, descriptor, path) }
        close(descriptor)
        guard rename(temporary, path) == 0 else {
            let error = systemError("cannot write \(path)")
            unlink(temporary)
            throw error
        }
        try syncDirectory(parent(of: path))
    }

    /// Creates a directory of mode 0700 with its missing parents; fine if it exists.
    package static func makeDirectory(_ path: String) throws(DaemonError) {
        if mkdir(path, 0o700) == 0 {
            try syncDirectory(parent(of: path))
            return
        }
        if errno == ENOENT, parent(of: path) != path {
            try makeDirectory(parent(of: path))
            try makeDirectory(path)
            return
        }
        guard errno == EEXIST, isDirectory(path) else { throw systemError("cannot create \(path)") }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Names in a directory, sorted, without "." and ".."; empty if it cannot be read.
    package static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The absolute form of a path, whether or not it exists.
    package static func absolute(_ path: String) -> String {
        if let resolved = realpath(path, nil) {
            defer { free(resolved) }
            return String(cString: resolved)
        }
        if path.hasPrefix("/") { return path }
        guard let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }

    private static func parent(of path: String) -> String {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }

    /// Makes creations and renames in a directory durable.
    package static func syncDirectory(_ path: String) throws(DaemonError) {
        let descriptor = CPosix_open(path, O_RDONLY | O_DIRECTORY, 0)
        guard descriptor >= 0 else { throw systemError("cannot open \(path)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw systemError("cannot sync \(path)") }
    }

    private static func abandon(_ temporary: String, _ descriptor: Int32, _ path: String) -> DaemonError {
        let error = systemError("cannot write \(path)")
        close(descriptor)
        unlink(temporary)
        return error
    }
}

/// `what` with the text of the present errno.
func systemError(_ what: String) -> DaemonError { DaemonError(.system, "\(what): \(String(cString: strerror(errno)))") }
