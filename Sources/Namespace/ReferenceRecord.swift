package import Bytes

/// The row of a block: how often it is referred to, or how far its deletion has come.
package struct ReferenceRecord: Equatable, Sendable, ByteCodable {
    /// A block's life. live → (last reference gone) queued → (`collect`) collecting → (`collected`) deleted → row gone, or live again from
    /// queued at any time, from deleted if the block was put again.
    package enum State: UInt8, Sendable {
        case live = 0
        /// No references; waits until `time` in the collection queue.
        case queued = 1
        /// Replicas are deleting it; nothing may refer to it.
        case collecting = 2
        /// Deleted everywhere. The row stays until `time`, so that an update that counted on the block is refused.
        case deleted = 3
    }

    /// First byte of the row.
    private static let layout: UInt8 = 1

    package var state: State
    /// Extents that refer to the block.
    package var count: UInt64
    /// Bytes in the block.
    package var length: UInt32
    /// The log index of the last change.
    package var index: UInt64
    /// See `State`; 0 otherwise.
    package var time: Timestamp

    init(length: UInt32) {
        state = .live
        count = 0
        self.length = length
        index = 0
        time = 0
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard try reader.integer(UInt8.self) == Self.layout else { throw .invalid("layout of a reference row") }
        state = try reader.choice()
        count = try reader.counter()
        length = try reader.integer()
        index = try reader.integer()
        time = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(Self.layout)
        writer.integer(state.rawValue)
        writer.integer(count)
        writer.integer(length)
        writer.integer(index)
        writer.integer(time)
    }
}
