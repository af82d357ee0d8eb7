package import Bytes
package import Model

/// How a server of the metadata service is doing.
package struct MetadataStatus: Equatable, Sendable, ByteCodable {
    package enum Position: UInt8, Sendable {
        case follower = 0
        /// Leads, but still waits for the claims of sessions.
        case preparing = 1
        case leader = 2
        case failed = 3
    }

    package struct Member: Equatable, Sendable {
        package var node: NodeID
        package var isVoter: Bool
        /// The last log index known to be on its disk; 0 where this server does not lead.
        package var match: UInt64
        /// Nanoseconds since it was last heard of by this server; `.max` for never.
        package var silence: UInt64
    }

    package var node: NodeID
    package var position: Position
    package var term: UInt64
    package var leader: NodeID?
    /// The last log index that is committed, applied, and on this disk.
    package var committed: UInt64
    package var applied: UInt64
    package var durable: UInt64
    /// Of the log since it was last compacted.
    package var logBytes: UInt64
    package var logEntries: UInt64
    package var sessions: UInt64
    package var leases: UInt64
    /// Pieces of advisory locks, and requests that wait for one.
    package var locks: UInt64
    package var lockWaits: UInt64
    package var members: [Member]

    package init(
        node: NodeID, position: Position, term: UInt64, leader: NodeID?, committed: UInt64, applied: UInt64, durable: UInt64,
        logBytes: UInt64, logEntries: UInt64, sessions: UInt64, leases: UInt64, locks: UInt64, lockWaits: UInt64, members: [Member]
    ) {
        self.node = node
        self.position = position
        self.term = term
        self.leader = leader
        self.committed = committed
        self.applied = applied
        self.durable = durable
        self.logBytes = logBytes
        self.logEntries = logEntries
        self.sessions = sessions
        self.leases = leases
        self.locks = locks
        self.lockWaits = lockWaits
        self.members = members
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        node = try NodeID(from: &reader)
        guard let position = Position(rawValue: try reader.integer()) else { throw .invalid("position") }
        self.position = position
        term = try reader.integer()
        leader = try reader.optional { inner throws(DecodeError) in try NodeID(from: &inner) }
        committed = try reader.integer()
        applied = try reader.integer()
        durable = try reader.integer()
        logBytes = try reader.integer()
        logEntries = try reader.integer()
        sessions = try reader.integer()
        leases = try reader.integer()
        locks = try reader.integer()
        lockWaits = try reader.integer()
        members = try reader.array(max: 64) { inner throws(DecodeError) in
            Member(
                node: try NodeID(from: &inner), isVoter: try inner.boolean(), match: try inner.integer(), silence: try inner.integer())
        }
    }

    package func encode(to writer: inout ByteWriter) {
        node.encode(to: &writer)
        writer.integer(position.rawValue)
        writer.integer(term)
        writer.optional(leader) { $1.encode(to: &$0) }
        for value in [committed, applied, durable, logBytes, logEntries, sessions, leases, locks, lockWaits] { writer.integer(value) }
        writer.array(members) {
            $1.node.encode(to: &$0)
            $0.boolean($1.isVoter)
            $0.integer($1.match)
            $0.integer($1.silence)
        }
    }
}
