package import Bytes

/// Files on the machine's own disks, as the layers above see them. Paths are absolute. Every call that can wait runs on a worker
/// thread; the answer comes back on the loop.
@LoopActor
package protocol Disk: AnyObject, Sendable {
    /// Opens a file for reading and writing.
    func open(_ path: String, _ mode: DiskOpenMode) async throws(DiskError) -> any DiskFile
    /// Creates a directory (mode 0700) and its missing parents; each new entry is synced in its parent. Fine if it exists.
    func createDirectory(_ path: String) async throws(DiskError)
    /// Names in a directory, sorted, without "." and "..".
    func list(_ path: String) async throws(DiskError) -> [String]
    func rename(_ from: String, to: String) async throws(DiskError)
    func remove(_ path: String) async throws(DiskError)
    /// Makes creations, renames and removals in a directory durable (fsync(2) of the directory).
    func syncDirectory(_ path: String) async throws(DiskError)
    /// The filesystem that holds `path`.
    func space(at path: String) async throws(DiskError) -> DiskSpace
}

package enum DiskOpenMode: Sendable {
    case existing
    /// Creates the file (mode 0600) and fails if it exists.
    case createNew
}

/// In bytes.
package struct DiskSpace: Sendable, Equatable {
    package var total: UInt64
    package var available: UInt64

    package init(total: UInt64, available: UInt64) {
        self.total = total
        self.available = available
    }
}

/// An open file. Closed when the last reference goes. Calls may overlap; each has its own range.
@LoopActor
package protocol DiskFile: AnyObject, Sendable {
    /// Current length in bytes.
    func length() async throws(DiskError) -> UInt64
    /// Fills a new buffer with up to `count` bytes from `offset`; shorter only at the end of the file. Answers without leaving
    /// the loop's thread if the bytes are in the page cache.
    func read(at offset: UInt64, count: Int) async throws(DiskError) -> Buffer
    /// Writes all parts in order from `offset`, and, if `sync`, makes them durable (fdatasync(2)) in the same step. After an error
    /// nothing is known about the range.
    func write(_ parts: [Slice], at offset: UInt64, sync: Bool) async throws(DiskError)
    /// Makes all writes that returned before durable (fdatasync(2)). After an error the file must not be trusted again:
    /// the kernel may have dropped the pages and a second sync proves nothing.
    func sync() async throws(DiskError)
    /// Reserves blocks for `offset ..< offset + length` and extends the file (fallocate(2)).
    func allocate(offset: UInt64, length: UInt64) async throws(DiskError)
    func truncate(to length: UInt64) async throws(DiskError)
}

/// What can go wrong with a disk.
package struct DiskError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case notFound
        case exists
        case noSpace
        case denied
        /// EIO and everything else: the disk or the file is not to be trusted.
        case failed
    }

    package var code: Code
    /// The system's number, 0 if there is none.
    package var errno: Int32
    /// What was being done, to which path, and the system's text.
    package var cause: String

    package init(_ code: Code, errno: Int32, _ cause: String) {
        self.code = code
        self.errno = errno
        self.cause = cause
    }

    package var description: String { cause }
}
