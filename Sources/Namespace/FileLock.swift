package import Bytes

/// A lock that somebody asks for, or gives up, on a file.
package struct FileLock: Equatable, Sendable, ByteCodable {
    package var owner: LockOwner
    /// For F_GETLK: the process, as its own machine numbers it; 0 where that means nothing to who is told.
    package var process: UInt32
    package var range: LockRange
    /// nil: to be unlocked.
    package var mode: LockMode?

    package init(_ owner: LockOwner, process: UInt32, _ range: LockRange, _ mode: LockMode?) {
        self.owner = owner
        self.process = process
        self.range = range
        self.mode = mode
    }

    /// On the whole file.
    package init(_ owner: LockOwner, process: UInt32, whole mode: LockMode?) { self.init(owner, process: process, .all, mode) }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        owner = try LockOwner(from: &reader)
        process = try reader.integer()
        range = try LockRange(from: &reader)
        mode = try reader.optional { inner throws(DecodeError) in
            guard let mode = LockMode(rawValue: try inner.integer()) else { throw .invalid("mode of a lock") }
            return mode
        }
        guard owner.family == .posix || range == .all else { throw .invalid("range of a lock on a whole file") }
    }

    package func encode(to writer: inout ByteWriter) {
        owner.encode(to: &writer)
        writer.integer(process)
        range.encode(to: &writer)
        writer.optional(mode) { $0.integer($1.rawValue) }
    }
}
