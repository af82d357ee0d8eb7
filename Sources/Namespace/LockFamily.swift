/// The two kinds of advisory locks. They do not know of each other, as on a local Linux filesystem.
package enum LockFamily: UInt8, Sendable, CaseIterable {
    /// flock(2): of an open file, on the whole file.
    case flock = 0
    /// fcntl(2) byte ranges: of a process, or of an open file (F_OFD_…).
    case posix = 1
}
