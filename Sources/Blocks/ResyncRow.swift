import Bytes
import Digest
import Model

/// A task as it lies in the store, under three keys: by task (with the error record), by due time, and by age. All times are wall
/// times in nanoseconds, since they must mean something after a restart.
struct ResyncRow: Equatable, ByteCodable {
    static let causeMax = 200
    private static let tableTag = UInt8(ascii: "t")
    private static let dueTag = UInt8(ascii: "d")
    private static let ageTag = UInt8(ascii: "a")

    var due: UInt64
    var since: UInt64
    var errors: UInt32
    var lastTry: UInt64
    var lastCause: String

    init(due: UInt64, since: UInt64) {
        self.due = due
        self.since = since
        errors = 0
        lastTry = 0
        lastCause = ""
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        due = try reader.integer()
        since = try reader.integer()
        errors = try reader.integer()
        lastTry = try reader.integer()
        lastCause = try reader.string(max: Self.causeMax)
    }

    func encode(to writer: inout ByteWriter) {
        writer.integer(due)
        writer.integer(since)
        writer.integer(errors)
        writer.integer(lastTry)
        var cause = lastCause
        while cause.utf8.count > Self.causeMax { cause = String(cause.prefix(cause.count / 2)) }
        writer.string(cause)
    }

    static func tableKey(_ task: ResyncTask) -> [UInt8] { tablePrefix(task.node) + task.key.bytes }
    static func tablePrefix(_ node: NodeID) -> [UInt8] { [tableTag] + bigEndian(node.rawValue) }
    static func dueKey(_ task: ResyncTask, _ due: UInt64) -> [UInt8] {
        [dueTag] + bigEndian(due) + bigEndian(task.node.rawValue) + task.key.bytes
    }
    static func ageKey(_ task: ResyncTask, _ since: UInt64) -> [UInt8] {
        [ageTag] + bigEndian(since) + bigEndian(task.node.rawValue) + task.key.bytes
    }

    /// All rows of each kind lie from the prefix up to the next tag.
    static let table = (from: [tableTag], to: [tableTag + 1])
    static let dues = (from: [dueTag], to: [dueTag + 1])
    static let ages = (from: [ageTag], to: [ageTag + 1])

    /// The time and task of a key in `dues` or `ages`; nil if it is none.
    static func parse(_ key: UnsafeRawBufferPointer) -> (time: UInt64, task: ResyncTask)? {
        guard key.count == 1 + 8 + 8 + 32, let block = BlockKey(digest: UnsafeRawBufferPointer(rebasing: key[17...])) else { return nil }
        let time = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
        let node = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 9, as: UInt64.self))
        return (time, ResyncTask(node: NodeID(rawValue: node), key: block))
    }

    /// The task of a key in `table`; nil if it is none.
    static func parseTable(_ key: UnsafeRawBufferPointer) -> ResyncTask? {
        guard key.count == 1 + 8 + 32, let block = BlockKey(digest: UnsafeRawBufferPointer(rebasing: key[9...])) else { return nil }
        let node = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
        return ResyncTask(node: NodeID(rawValue: node), key: block)
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
}
