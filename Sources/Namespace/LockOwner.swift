package import Bytes
package import Model

package enum LockMode: UInt8, Sendable, CaseIterable {
    /// LOCK_SH, F_RDLCK: any number of owners.
    case shared = 0
    /// LOCK_EX, F_WRLCK: one owner.
    case exclusive = 1

    package func conflicts(with other: LockMode) -> Bool { self == .exclusive || other == .exclusive }
}

/// The two kinds of advisory locks. They do not know of each other, as on a local Linux filesystem.
package enum LockFamily: UInt8, Sendable, CaseIterable {
    /// flock(2): of an open file, on the whole file.
    case flock = 0
    /// fcntl(2) byte ranges: of a process, or of an open file (F_OFD_…).
    case posix = 1
}

/// Whose lock it is, within one mount. The kernel's name for a process or an open file, which it keeps for as long as that lives.
package struct LockOwner: Hashable, Sendable, ByteCodable {
    package var family: LockFamily
    package var id: UInt64

    package init(_ family: LockFamily, _ id: UInt64) {
        self.family = family
        self.id = id
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard let family = LockFamily(rawValue: try reader.integer()) else { throw .invalid("family of a lock") }
        self.family = family
        id = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(family.rawValue)
        writer.integer(id)
    }
}

/// An owner in one of all sessions.
package struct LockHolder: Hashable, Sendable {
    package var session: SessionID
    package var owner: LockOwner

    package init(_ session: SessionID, _ owner: LockOwner) {
        self.session = session
        self.owner = owner
    }

}

/// One lock as somebody else is shown it.
package struct LockInfo: Equatable, Sendable {
    package var holder: LockHolder
    /// The process that took it, as its own machine numbers it.
    package var process: UInt32
    package var range: LockRange
    package var mode: LockMode

    /// Among locks of one family.
    var order: (UInt64, UInt64, UInt64) { (range.first, holder.session.rawValue, holder.owner.id) }

    package init(holder: LockHolder, process: UInt32, range: LockRange, mode: LockMode) {
        self.holder = holder
        self.process = process
        self.range = range
        self.mode = mode
    }
}
