import Bytes
import Model
import Namespace

/// What a session asks about locks.
///
/// Requests that change something are numbered by the session, so that one which is sent again, or comes late over a connection that was given up, is not
/// carried out twice. A session has a number for each leader to which it sends the request.
enum LockCall: Equatable, Sendable, ByteCodable {
    /// Requests with a number below `acknowledgedBelow` were answered or will never be asked about again.
    case set(number: UInt64, acknowledgedBelow: UInt64, inode: InodeID, lock: FileLock, waits: Bool)
    /// The request `target` is given up. The answer says what became of it.
    case cancel(number: UInt64, acknowledgedBelow: UInt64, inode: InodeID, target: UInt64)
    /// F_GETLK of fcntl(2).
    case test(inode: InodeID, lock: FileLock)

    init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0:
            self = .set(
                number: try reader.integer(), acknowledgedBelow: try reader.integer(), inode: try InodeID(from: &reader),
                lock: try FileLock(from: &reader), waits: try reader.boolean())
        case 1:
            self = .cancel(
                number: try reader.integer(), acknowledgedBelow: try reader.integer(), inode: try InodeID(from: &reader), target: try reader.integer())
        case 2: self = .test(inode: try InodeID(from: &reader), lock: try FileLock(from: &reader))
        default: throw .invalid("request for a lock")
        }
    }

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .set(let number, let acknowledgedBelow, let inode, let lock, let waits):
            writer.integer(UInt8(0))
            writer.integer(number)
            writer.integer(acknowledgedBelow)
            inode.encode(to: &writer)
            lock.encode(to: &writer)
            writer.boolean(waits)
        case .cancel(let number, let acknowledgedBelow, let inode, let target):
            writer.integer(UInt8(1))
            writer.integer(number)
            writer.integer(acknowledgedBelow)
            inode.encode(to: &writer)
            writer.integer(target)
        case .test(let inode, let lock):
            writer.integer(UInt8(2))
            inode.encode(to: &writer)
            lock.encode(to: &writer)
        }
    }
}

/// What the leader says to a `LockCall`.
enum LockAnswer: Equatable, Sendable, ByteCodable {
    /// For a test: nothing stands in the way.
    case granted
    /// The lock in the way. Its process is 0 if it is another session's: such a number means nothing elsewhere.
    case conflict(FileLock)
    /// It will be granted by a `LockGrants`.
    case waits
    case deadlock
    case exhausted
    case cancelled

    init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .granted
        case 1: self = .conflict(try FileLock(from: &reader))
        case 2: self = .waits
        case 3: self = .deadlock
        case 4: self = .exhausted
        case 5: self = .cancelled
        default: throw .invalid("answer about a lock")
        }
    }

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .granted: writer.integer(UInt8(0))
        case .conflict(let lock):
            writer.integer(UInt8(1))
            lock.encode(to: &writer)
        case .waits: writer.integer(UInt8(2))
        case .deadlock: writer.integer(UInt8(3))
        case .exhausted: writer.integer(UInt8(4))
        case .cancelled: writer.integer(UInt8(5))
        }
    }
}

/// From the leader to a session: requests that waited have their locks. Repeated until it is answered.
struct LockGrants: Equatable, Sendable, ByteCodable {
    var session: SessionID
    var numbers: [UInt64]

    init(session: SessionID, numbers: [UInt64]) {
        self.session = session
        self.numbers = numbers
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        session = try SessionID(from: &reader)
        numbers = try reader.array(max: MessageLimits.lockGrants) { inner throws(DecodeError) in try inner.integer() }
    }

    func encode(to writer: inout ByteWriter) {
        session.encode(to: &writer)
        writer.array(numbers) { $0.integer($1) }
    }
}

/// A lock that a session held under the leader before.
struct ClaimedLock: Equatable, Sendable, ByteCodable {
    var inode: InodeID
    var lock: FileLock

    init(inode: InodeID, lock: FileLock) {
        self.inode = inode
        self.lock = lock
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        inode = try InodeID(from: &reader)
        lock = try FileLock(from: &reader)
        guard lock.mode != nil else { throw .invalid("claim of no lock") }
    }

    func encode(to writer: inout ByteWriter) {
        inode.encode(to: &writer)
        lock.encode(to: &writer)
    }
}
