import Bytes
import Journal

/// What the index says of one block.
struct BlockRow: Equatable, ByteCodable {
    var position: JournalPosition
    /// Bytes of the content as stored.
    var storedCount: Int
    /// Bytes of the content.
    var length: Int
    var isCompressed: Bool
    /// Damaged: not served, replaced by the next put.
    var isBad: Bool

    /// Bytes of the record.
    var recordLength: Int { Journal.recordLength(headerCount: BlockHeader.count, payloadCount: storedCount) }

    init(position: JournalPosition, storedCount: Int, header: BlockHeader) {
        self.position = position
        self.storedCount = storedCount
        length = header.length
        isCompressed = header.isCompressed
        isBad = false
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        position = JournalPosition(segment: try reader.integer(), offset: try reader.integer())
        storedCount = Int(try reader.integer(UInt32.self))
        length = Int(try reader.integer(UInt32.self))
        isCompressed = try reader.boolean()
        isBad = try reader.boolean()
    }

    func encode(to writer: inout ByteWriter) {
        writer.integer(position.segment)
        writer.integer(position.offset)
        writer.integer(UInt32(storedCount))
        writer.integer(UInt32(length))
        writer.boolean(isCompressed)
        writer.boolean(isBad)
    }
}
