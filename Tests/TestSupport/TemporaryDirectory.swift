import Glibc

/// A directory of its own for one test, removed with all its content when the last reference goes.
package final class TemporaryDirectory: Sendable {
    /// Absolute, without a slash at the end.
    package let path: String

    package init() throws(TemporaryDirectoryError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array((parent + "/dhtfs-test-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw TemporaryDirectoryError(cause: "mkdtemp in \(parent): \(String(cString: strerror(errno)))")
        }
        path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    }

    deinit { Self.removeTree(path) }

    /// The absolute path of `name` in the directory.
    package func file(_ name: String) -> String { path + "/" + name }

    private static func removeTree(_ path: String) {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                    tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                guard name != "." && name != ".." else { continue }
                let child = path + "/" + name
                // A link to a directory is removed, not followed.
                if unlink(child) != 0 && errno == EISDIR { removeTree(child) }
            }
            closedir(directory)
        }
        rmdir(path)
    }
}

package struct TemporaryDirectoryError: Error, CustomStringConvertible {
    package var cause: String
    package var description: String { cause }
}
