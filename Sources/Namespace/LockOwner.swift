package import Bytes

/// Whose lock it is, within one mount. The kernel's name for a process or an open file, which it keeps for as long as that lives.
package struct LockOwner: Hashable, Sendable, ByteCodable {
    package var family: LockFamily
    package var id: UInt64

    package init(_ family: LockFamily, _ id: UInt64) {
        self.family = family
        self.id = id
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard let family = LockFamily(rawValue: try reader.integer()) else { throw .invalid("family of a lock") }
        self.family = family
        id = try reader.integer()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(family.rawValue)
        writer.integer(id)
    }
}
