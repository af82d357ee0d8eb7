package import Bytes
import Model
import Namespace

/// What the requests of the metadata service carry. Decoders are total; every list has a limit.
enum MessageLimits {
    /// Leases given back within one request.
    static let releases = 1024
    /// Inodes in one part of a claim.
    static let claims = 16_384
    /// Requests for locks that one message tells of.
    static let lockGrants = 1024
    /// Inodes on which one answer grants leases: a directory and its entries.
    static let leases = 4100
    static let nameBytes = 255
    /// A command with its header. An entry with one more than its usual bytes must still fit into one request between servers.
    static let commandBytes = 4 << 20
}

/// What every request of a client begins with.
struct RequestHeader: Equatable, Sendable, ByteCodable {
    /// 0: no session; such a client is granted no leases and may only set records.
    var session: SessionID
    /// The term of the leader to which the session's claims were made; another leader asks for them first.
    var term: UInt64
    /// Inodes that the session no longer caches nor has open.
    var released: [InodeID]

    init(session: SessionID, term: UInt64, released: [InodeID]) {
        self.session = session
        self.term = term
        self.released = released
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        session = try SessionID(from: &reader)
        term = try reader.integer()
        released = try reader.array(max: MessageLimits.releases) { inner throws(DecodeError) in try InodeID(from: &inner) }
    }

    func encode(to writer: inout ByteWriter) {
        session.encode(to: &writer)
        writer.integer(term)
        writer.array(released) { $1.encode(to: &$0) }
    }
}

/// The answer to opening or renewing a session.
struct SessionReply: Equatable, Sendable, ByteCodable {
    var session: SessionID
    var term: UInt64
    /// Nanoseconds from the moment the request was sent for which leases are good.
    var timeToLive: UInt64

    init(session: SessionID, term: UInt64, timeToLive: UInt64) {
        self.session = session
        self.term = term
        self.timeToLive = timeToLive
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        session = try SessionID(from: &reader)
        term = try reader.integer()
        timeToLive = try reader.integer()
    }

    func encode(to writer: inout ByteWriter) {
        session.encode(to: &writer)
        writer.integer(term)
        writer.integer(timeToLive)
    }
}

/// What a session says to a new leader, in one or more parts.
struct Claim: Equatable, Sendable, ByteCodable {
    var exclusive: [InodeID]
    var open: [InodeID]
    var locks: [ClaimedLock]
    /// The last part: everything is said.
    var last: Bool

    init(exclusive: [InodeID], open: [InodeID], locks: [ClaimedLock], last: Bool) {
        self.exclusive = exclusive
        self.open = open
        self.locks = locks
        self.last = last
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        exclusive = try reader.array(max: MessageLimits.claims) { inner throws(DecodeError) in try InodeID(from: &inner) }
        open = try reader.array(max: MessageLimits.claims) { inner throws(DecodeError) in try InodeID(from: &inner) }
        locks = try reader.array(max: MessageLimits.claims) { inner throws(DecodeError) in try ClaimedLock(from: &inner) }
        last = try reader.boolean()
    }

    func encode(to writer: inout ByteWriter) {
        writer.array(exclusive) { $1.encode(to: &$0) }
        writer.array(open) { $1.encode(to: &$0) }
        writer.array(locks) { $1.encode(to: &$0) }
        writer.boolean(last)
    }
}

/// Leases that come with an answer. `number` is the number of recalls sent to the session before: an answer that was overtaken by a recall
/// shows by it.
struct Grants: Equatable, Sendable, ByteCodable {
    var number: UInt64
    var shared: [InodeID]
    var exclusive: [InodeID]

    init(number: UInt64, shared: [InodeID] = [], exclusive: [InodeID] = []) {
        self.number = number
        self.shared = shared
        self.exclusive = exclusive
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        number = try reader.integer()
        shared = try reader.array(max: MessageLimits.leases) { inner throws(DecodeError) in try InodeID(from: &inner) }
        exclusive = try reader.array(max: MessageLimits.leases) { inner throws(DecodeError) in try InodeID(from: &inner) }
    }

    func encode(to writer: inout ByteWriter) {
        writer.integer(number)
        writer.array(shared) { $1.encode(to: &$0) }
        writer.array(exclusive) { $1.encode(to: &$0) }
    }
}

/// From the leader to a session: give a lease back. Answered by one byte: still open or not.
struct RecallRequest: Equatable, Sendable, ByteCodable {
    var session: SessionID
    var inode: InodeID
    var keepShared: Bool
    /// Counts the recalls of the session.
    var number: UInt64

    init(session: SessionID, inode: InodeID, keepShared: Bool, number: UInt64) {
        self.session = session
        self.inode = inode
        self.keepShared = keepShared
        self.number = number
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        session = try SessionID(from: &reader)
        inode = try InodeID(from: &reader)
        keepShared = try reader.boolean()
        number = try reader.integer()
    }

    func encode(to writer: inout ByteWriter) {
        session.encode(to: &writer)
        inode.encode(to: &writer)
        writer.boolean(keepShared)
        writer.integer(number)
    }
}

/// A page of the state's rows, for verification.
package struct ScanPage: Equatable, Sendable, ByteCodable {
    /// Names the pinned snapshot in the next request; 0 after the last page.
    package var handle: UInt64
    /// The state shown is the one after this log index.
    package var appliedIndex: UInt64
    package var rows: [Row]

    package struct Row: Equatable, Sendable {
        package var key: [UInt8]
        package var value: [UInt8]
    }

    package init(handle: UInt64, appliedIndex: UInt64, rows: [Row]) {
        self.handle = handle
        self.appliedIndex = appliedIndex
        self.rows = rows
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        handle = try reader.integer()
        appliedIndex = try reader.integer()
        rows = try reader.array(max: 1 << 20) { inner throws(DecodeError) in
            Row(key: try inner.bytes(max: 1 << 16), value: try inner.bytes(max: 16 << 20))
        }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(handle)
        writer.integer(appliedIndex)
        writer.array(rows) {
            $0.bytes($1.key)
            $0.bytes($1.value)
        }
    }
}
