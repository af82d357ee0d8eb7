package import Bytes
package import Model

/// What a daemon says of itself: the reply to `RequestKind.status`.
package struct NodeStatus: Equatable, Sendable, ByteCodable {
    package var node: NodeID
    package var program: String
    package var uptimeSeconds: UInt64
    package var residentBytes: UInt64
    package var layoutVersion: UInt64
    /// "leader", "preparing", "follower", "learner", "recovering" (its log is gone and no leader has admitted it anew yet) or "failed".
    package var role: String
    package var term: UInt64
    package var leader: NodeID?
    package var voters: [NodeID]
    package var committedIndex: UInt64
    package var appliedIndex: UInt64
    /// Sessions that the leader knows; 0 elsewhere.
    package var sessions: UInt64
    package var leases: UInt64
    /// Pieces of advisory locks, and requests that wait for one.
    package var locks: UInt64
    package var lockWaits: UInt64
    package var blocks: UInt64
    package var liveBytes: UInt64
    package var deadBytes: UInt64
    package var quarantinedBlocks: UInt64
    package var diskTotalBytes: UInt64
    package var diskAvailableBytes: UInt64
    /// Copies owed to other nodes.
    package var resyncLength: UInt64
    package var resyncOldestSeconds: UInt64
    package var members: [MemberView]

    /// What this daemon thinks of another one.
    package struct MemberView: Equatable, Sendable, ByteCodable {
        package var node: NodeID
        /// "alive", "suspected" or "down".
        package var state: String
        package var sinceSeconds: UInt64
        /// Smoothed round-trip time; 0 if it was never measured.
        package var roundTripMicroseconds: UInt64

        package init(node: NodeID, state: String, sinceSeconds: UInt64, roundTripMicroseconds: UInt64) {
            self.node = node
            self.state = state
            self.sinceSeconds = sinceSeconds
            self.roundTripMicroseconds = roundTripMicroseconds
        }

        package init(from reader: inout ByteReader) throws(DecodeError) {
            node = try NodeID(from: &reader)
            state = try reader.string(max: 32)
            sinceSeconds = try reader.integer()
            roundTripMicroseconds = try reader.integer()
        }

        package func encode(to writer: inout ByteWriter) {
            node.encode(to: &writer)
            writer.string(state)
            writer.integer(sinceSeconds)
            writer.integer(roundTripMicroseconds)
        }
    }

    package init(node: NodeID, program: String) {
        self.node = node
        self.program = program
        uptimeSeconds = 0
        residentBytes = 0
        layoutVersion = 0
        role = ""
        term = 0
        leader = nil
        voters = []
        committedIndex = 0
        appliedIndex = 0
        sessions = 0
        leases = 0
        locks = 0
        lockWaits = 0
        blocks = 0
        liveBytes = 0
        deadBytes = 0
        quarantinedBlocks = 0
        diskTotalBytes = 0
        diskAvailableBytes = 0
        resyncLength = 0
        resyncOldestSeconds = 0
        members = []
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        node = try NodeID(from: &reader)
        program = try reader.string(max: 256)
        uptimeSeconds = try reader.integer()
        residentBytes = try reader.integer()
        layoutVersion = try reader.integer()
        role = try reader.string(max: 32)
        term = try reader.integer()
        leader = try reader.optional { (reader: inout ByteReader) throws(DecodeError) in try NodeID(from: &reader) }
        voters = try reader.array(max: 64) { (reader: inout ByteReader) throws(DecodeError) in try NodeID(from: &reader) }
        committedIndex = try reader.integer()
        appliedIndex = try reader.integer()
        sessions = try reader.integer()
        leases = try reader.integer()
        locks = try reader.integer()
        lockWaits = try reader.integer()
        blocks = try reader.integer()
        liveBytes = try reader.integer()
        deadBytes = try reader.integer()
        quarantinedBlocks = try reader.integer()
        diskTotalBytes = try reader.integer()
        diskAvailableBytes = try reader.integer()
        resyncLength = try reader.integer()
        resyncOldestSeconds = try reader.integer()
        members = try reader.array(max: 1024) { (reader: inout ByteReader) throws(DecodeError) in try MemberView(from: &reader) }
    }

    package func encode(to writer: inout ByteWriter) {
        node.encode(to: &writer)
        writer.string(program)
        writer.integer(uptimeSeconds)
        writer.integer(residentBytes)
        writer.integer(layoutVersion)
        writer.string(role)
        writer.integer(term)
        writer.optional(leader) { $1.encode(to: &$0) }
        writer.array(voters) { $1.encode(to: &$0) }
        for value in [
            committedIndex, appliedIndex, sessions, leases, locks, lockWaits, blocks, liveBytes, deadBytes, quarantinedBlocks, diskTotalBytes, diskAvailableBytes,
            resyncLength, resyncOldestSeconds,
        ] { writer.integer(value) }
        writer.array(members) { $1.encode(to: &$0) }
    }
}
