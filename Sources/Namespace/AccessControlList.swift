package import Bytes

/// An access control list (acl(5)) in the form of the extended attributes that hold it (linux/posix_acl_xattr.h): a version, then the entries with
/// tag, permissions and id, little-endian.
package struct AccessControlList: Equatable, Sendable, ByteCodable {
    private enum Tag: UInt16 {
        case owner = 0x01
        case user = 0x02
        case owningGroup = 0x04
        case group = 0x08
        case mask = 0x10
        case other = 0x20
    }

    private struct Entry: Equatable {
        var tag: Tag
        /// rwx: 0 ... 7.
        var permissions: UInt16
        /// Of `user` and `group`; kept as it came for the others.
        var id: UInt32
    }

    private static let version: UInt32 = 2
    private static let entryBytes = 8

    /// The list that permissions are checked against, besides the mode.
    package static let accessName = Array("system.posix_acl_access".utf8)
    /// Of a directory: the list that what is made in it begins with.
    package static let defaultName = Array("system.posix_acl_default".utf8)

    /// Whether an extended attribute is one of the two lists.
    package static func isName(_ name: [UInt8]) -> Bool { name == accessName || name == defaultName }

    private var entries: [Entry]

    /// Takes everything that is left.
    /// - Throws: where that is no valid list: entries in the order of their tags, one each of owner, owning group and other, one mask at most, which
    ///   must be there if a user or a group is named (posix_acl_valid, fs/posix_acl.c).
    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard try reader.integer(UInt32.self) == Self.version else { throw .invalid("version of an access control list") }
        entries = []
        entries.reserveCapacity(reader.remaining / Self.entryBytes)
        while !reader.isAtEnd {
            guard let tag = Tag(rawValue: try reader.integer()) else { throw .invalid("tag of an access control list") }
            let permissions: UInt16 = try reader.integer()
            guard permissions <= 7 else { throw .invalid("permissions") }
            entries.append(Entry(tag: tag, permissions: permissions, id: try reader.integer()))
        }
        guard Self.isValid(entries) else { throw .invalid("access control list") }
    }

    private static func isValid(_ entries: [Entry]) -> Bool {
        func count(_ tag: Tag) -> Int { entries.count { $0.tag == tag } }
        let isSorted = zip(entries, entries.dropFirst()).allSatisfy { $0.tag.rawValue <= $1.tag.rawValue }
        let namesAny = count(.user) + count(.group) > 0
        return isSorted && count(.owner) == 1 && count(.owningGroup) == 1 && count(.other) == 1 && count(.mask) <= 1 && (!namesAny || count(.mask) == 1)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(Self.version)
        for entry in entries {
            writer.integer(entry.tag.rawValue)
            writer.integer(entry.permissions)
            writer.integer(entry.id)
        }
    }

    /// Whether a mode says the same.
    package var isMinimal: Bool { entries.count == 3 }

    /// The permission bits that stat(2) shows for it: the mask stands in the place of the owning group, if there is one. 0 ... 0o777.
    package var permissions: UInt16 {
        get { bits(of: .owner) << 6 | bits(of: classTag) << 3 | bits(of: .other) }
        set {
            set(.owner, newValue >> 6 & 7)
            set(classTag, newValue >> 3 & 7)
            set(.other, newValue & 7)
        }
    }

    /// The entry that the mode's group bits stand for.
    private var classTag: Tag { entries.contains { $0.tag == .mask } ? .mask : .owningGroup }

    private func bits(of tag: Tag) -> UInt16 { entries.first { $0.tag == tag }?.permissions ?? 0 }

    private mutating func set(_ tag: Tag, _ permissions: UInt16) {
        for index in entries.indices where entries[index].tag == tag { entries[index].permissions = permissions }
    }
}
