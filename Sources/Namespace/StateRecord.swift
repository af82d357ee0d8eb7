package import Bytes
package import Digest

/// The one row about the namespace as a whole.
package struct StateRecord: Equatable, Sendable, ByteCodable {
    /// First byte of the row; the version of all layouts of the store.
    private static let layout: UInt8 = 2

    /// The last log entry that the rows contain.
    package var appliedIndex: UInt64 = 0
    package var appliedTerm: UInt64 = 0
    /// Rolls over everything written since the beginning; replicas with equal indexes have equal digests.
    package var digest = BlockKey(words: (0, 0, 0, 0))
    /// The next inode's id.
    package var nextInode: UInt64 = 2
    package var inodes: UInt64 = 1
    /// Blocks with references and the bytes in them, each counted once.
    package var blocks: UInt64 = 0
    package var referencedBytes: UInt64 = 0
    package var sessions: UInt64 = 0
    package var records: UInt64 = 0
    /// The version the last cluster record change got; versions never come twice, not even for a key that was removed in between.
    package var recordVersion: UInt64 = 0
    /// Nanoseconds that a block without references waits before it is collected; see `Namespace.collectionDelayRecord`.
    package var collectionDelay: Int64 = 600_000_000_000

    init() {}

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard try reader.integer(UInt8.self) == Self.layout else { throw .invalid("layout of the namespace; made by another version?") }
        appliedIndex = try reader.counter()
        appliedTerm = try reader.counter()
        digest = try BlockKey(from: &reader)
        nextInode = try reader.counter()
        inodes = try reader.counter()
        blocks = try reader.counter()
        referencedBytes = try reader.counter()
        sessions = try reader.counter()
        records = try reader.counter()
        recordVersion = try reader.counter()
        collectionDelay = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(Self.layout)
        writer.integer(appliedIndex)
        writer.integer(appliedTerm)
        digest.encode(to: &writer)
        writer.integer(nextInode)
        writer.integer(inodes)
        writer.integer(blocks)
        writer.integer(referencedBytes)
        writer.integer(sessions)
        writer.integer(records)
        writer.integer(recordVersion)
        writer.integer(collectionDelay)
    }
}
