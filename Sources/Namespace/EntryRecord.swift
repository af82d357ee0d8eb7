package import Bytes
package import Model

/// The row of a directory entry.
package struct EntryRecord: Equatable, Sendable, ByteCodable {
    package var inode: InodeID
    package var kind: FileKind

    package init(inode: InodeID, kind: FileKind) {
        self.inode = inode
        self.kind = kind
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        inode = try InodeID(from: &reader)
        kind = try reader.choice()
    }

    package func encode(to writer: inout ByteWriter) {
        inode.encode(to: &writer)
        writer.integer(kind.rawValue)
    }
}
