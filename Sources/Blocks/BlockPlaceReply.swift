package import Bytes

/// Answer to `blockLocate`: where in a file of the daemon's machine the content of a block lies, as it is. For clients of the same machine that may
/// read the file, so that large blocks need not go through a socket. Whoever reads there checks what it reads against the key: the segment may be
/// compacted at any time.
package struct BlockPlaceReply: Sendable, Equatable, ByteCodable {
    package static let pathMax = 4096

    /// Absolute; empty where the block is not there, compressed, or bad: then it has to be asked for.
    package var path: String
    package var offset: UInt64
    /// Of the content, in bytes.
    package var length: UInt32

    package init(path: String, offset: UInt64, length: UInt32) {
        self.path = path
        self.offset = offset
        self.length = length
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        path = try reader.string(max: Self.pathMax)
        offset = try reader.integer()
        length = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.string(path)
        writer.integer(offset)
        writer.integer(length)
    }
}
