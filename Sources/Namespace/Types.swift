package import Bytes
package import Digest
package import Model

/// What an inode is (the S_IFMT part of st_mode, inode(7)).
package enum FileKind: UInt8, CaseIterable, Sendable {
    case file = 1
    case directory = 2
    case symlink = 3
    case fifo = 4
    case socket = 5
    case characterDevice = 6
    case blockDevice = 7
}

/// Limits of a name, a file and so on; over them a command fails and changes nothing.
package enum Limits {
    /// Bytes in a name: NAME_MAX.
    package static let nameBytes = 255
    /// Bytes in a symlink's target: PATH_MAX - 1.
    package static let symlinkBytes = 4095
    /// Hard links to one file (LINK_MAX).
    package static let links: UInt32 = 65_000
    /// Bytes of content that may lie in the inode row itself.
    package static let inlineBytes = 4096
    /// Bytes in a file.
    package static let fileBytes: UInt64 = 16 << 40
    package static let xattrNameBytes = 255
    package static let xattrValueBytes = 65_536
    /// Bytes of all names and values of one inode.
    package static let xattrTotalBytes = 131_072
    /// Bytes of a file that one extent row covers.
    package static let regionBytes: UInt64 = 64 << 20
    /// Largest block size a filesystem may be made with.
    package static let blockBytes = 4 << 20
    /// Numbers of inodes that a session is given at once.
    package static let inodesPerReservation: UInt32 = 4096
    /// Runs of such numbers that a session may have; of more the oldest is forgotten.
    package static let reservationsPerSession = 4
    /// Edits in one update.
    package static let editsPerUpdate = 4096
}

/// An entry's name: 1 ... 255 bytes, any but "/" and NUL, neither "." nor "..".
package struct Name: Hashable, Comparable, Sendable, ByteCodable {
    package let bytes: [UInt8]

    /// nil where the bytes are no name.
    package init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count <= Limits.nameBytes, !bytes.contains(0), !bytes.contains(0x2F), bytes != [0x2E],
            bytes != [0x2E, 0x2E]
        else { return nil }
        self.bytes = bytes
    }

    package init?(_ text: String) { self.init(Array(text.utf8)) }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard let name = Name(try reader.bytes(max: Limits.nameBytes)) else { throw .invalid("name") }
        self = name
    }

    package func encode(to writer: inout ByteWriter) { writer.bytes(bytes) }

    /// At once, where an array hashes its bytes one by one.
    package func hash(into hasher: inout Hasher) {
        unsafe bytes.withUnsafeBytes { bytes in unsafe hasher.combine(bytes: bytes) }
    }

    package static func < (left: Name, right: Name) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }

    /// For people: invalid UTF-8 is replaced.
    package var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Nanoseconds since 1970-01-01 UTC.
package typealias Timestamp = Int64

/// What stat(2) shows of an inode.
package struct Attributes: Equatable, Sendable {
    package var inode: InodeID
    package var kind: FileKind
    /// Permission bits with set-id and sticky: 0 ... 0o7777.
    package var mode: UInt16
    package var uid: UInt32
    package var gid: UInt32
    package var links: UInt32
    /// Bytes. Of a symlink: of its target. Of a directory: 0 stored; entries are in `entries`.
    package var size: UInt64
    /// Bytes that blocks or inline content take up; st_blocks times 512.
    package var allocated: UInt64
    /// For devices.
    package var device: UInt32
    package var accessed: Timestamp
    package var modified: Timestamp
    package var changed: Timestamp
    package var created: Timestamp
    /// How many extended attributes, access control lists among them.
    package var xattrs: UInt32 = 0
    /// Grows with every change of the inode, its content or its entries.
    package var version: UInt64
    /// Of a directory: how many entries. 0 otherwise.
    package var entries: UInt64
    /// Of a directory: the directory that holds it (the root: itself). `InodeID(0)` otherwise.
    package var parent: InodeID

    package init(
        inode: InodeID, kind: FileKind, mode: UInt16, uid: UInt32, gid: UInt32, links: UInt32, size: UInt64, allocated: UInt64,
        device: UInt32, accessed: Timestamp, modified: Timestamp, changed: Timestamp, created: Timestamp, version: UInt64, entries: UInt64,
        parent: InodeID
    ) {
        self.inode = inode
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.links = links
        self.size = size
        self.allocated = allocated
        self.device = device
        self.accessed = accessed
        self.modified = modified
        self.changed = changed
        self.created = created
        self.version = version
        self.entries = entries
        self.parent = parent
    }
}

extension Attributes {
    /// A new inode in a directory: a set-gid directory gives its group, and to directories that bit (inode(7)).
    /// - Parameter mode: as it is to be without access control lists.
    package init(
        _ inode: InodeID, _ kind: FileKind, in directory: Attributes, mode: UInt16, uid: UInt32, gid: UInt32, links: UInt32, size: Int, device: UInt32 = 0,
        at time: Timestamp
    ) {
        let isDirectory = kind == .directory
        let inheritsGroup = directory.mode & 0o2000 != 0
        self.init(
            inode: inode, kind: kind, mode: inheritsGroup && isDirectory ? mode | 0o2000 : mode, uid: uid, gid: inheritsGroup ? directory.gid : gid,
            links: links, size: UInt64(size), allocated: 0, device: device, accessed: time, modified: time, changed: time, created: time, version: 1,
            entries: 0, parent: isDirectory ? directory.inode : InodeID(rawValue: 0))
    }
}

/// A run of a file's bytes and the block that holds them. What no extent covers, below the file's size, is a hole.
package struct Extent: Equatable, Sendable {
    /// Where the run starts in the file.
    package var offset: UInt64
    /// Bytes, at least 1. `offset + length` never crosses a region border.
    package var length: UInt32
    package var key: BlockKey
    /// Bytes in the whole block.
    package var blockLength: UInt32
    /// Where the run starts in the block.
    package var blockOffset: UInt32

    package init(offset: UInt64, length: UInt32, key: BlockKey, blockLength: UInt32, blockOffset: UInt32) {
        self.offset = offset
        self.length = length
        self.key = key
        self.blockLength = blockLength
        self.blockOffset = blockOffset
    }

    package var end: UInt64 { offset + UInt64(length) }
}

/// What a file's bytes are made of.
package enum Content: Equatable, Sendable {
    /// All bytes of the file; missing ones up to the size are zero. At most `Limits.inlineBytes`.
    case inline([UInt8])
    /// The extents that touch the range asked for, sorted, not overlapping.
    case extents([Extent])
}

/// New values of attributes; nil leaves one as it is.
package struct AttributeChange: Equatable, Sendable {
    package var mode: UInt16?
    package var uid: UInt32?
    package var gid: UInt32?
    package var accessed: Timestamp?
    package var modified: Timestamp?
    /// nil: the time of the command. One that is earlier than the inode's does not put that back.
    package var changed: Timestamp?

    package init(
        mode: UInt16? = nil, uid: UInt32? = nil, gid: UInt32? = nil, accessed: Timestamp? = nil, modified: Timestamp? = nil,
        changed: Timestamp? = nil
    ) {
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.accessed = accessed
        self.modified = modified
        self.changed = changed
    }
}

/// One step of a change to a file's content.
package enum Edit: Equatable, Sendable {
    /// Sets the size: bytes past it are dropped, bytes up to it are zero.
    case truncate(UInt64)
    /// Replaces the whole content. At most `Limits.inlineBytes`; the size becomes its length.
    case inline([UInt8])
    /// Puts a run of bytes in place of what was there; the size grows if it ends past it. Inline content moves out of the way only if the
    /// sender replaced it before: an extent in a file with inline content is refused (`.inlineContent`) unless the edit list truncated to 0 first.
    case extent(Extent)
    /// Makes a range a hole; the size stays.
    case hole(offset: UInt64, length: UInt64)
}

/// How rename(2) treats an existing target.
package enum RenameMode: UInt8, Sendable {
    case replace = 0
    case noReplace = 1
    case exchange = 2
}

/// How setxattr(2) treats an existing attribute.
package enum XattrMode: UInt8, Sendable {
    case any = 0
    case create = 1
    case replace = 2
}

/// A change of the namespace. Applied by every replica in the same order with the same outcome.
package enum Command: Equatable, Sendable {
    /// Makes an inode and its entry. A set-gid parent gives its group. Of the mode the umask's bits are taken off, unless the parent has a default access
    /// control list, which then takes the umask's place.
    case create(
        parent: InodeID, name: Name, kind: FileKind, mode: UInt16, umask: UInt16, uid: UInt32, gid: UInt32, device: UInt32, target: [UInt8])
    /// As `create`, of an inode with a number that the session has reserved, in ascending order. For files, directories and symlinks.
    case createNumbered(
        InodeID, parent: InodeID, name: Name, kind: FileKind, mode: UInt16, umask: UInt16, uid: UInt32, gid: UInt32, target: [UInt8])
    /// Sets numbers aside for inodes that only this session will make: at most `Limits.inodesPerReservation`.
    case reserveInodes(UInt32)
    /// Makes a file without a name, as one in `parent` would be: an orphan that may still be linked (O_TMPFILE, open(2)).
    case createTemporary(parent: InodeID, mode: UInt16, umask: UInt16, uid: UInt32, gid: UInt32)
    case link(inode: InodeID, parent: InodeID, name: Name)
    /// Removes an entry. `keep`: some session has the inode open, so at its last link it becomes an orphan, to be reaped.
    case unlink(parent: InodeID, name: Name, keep: Bool)
    case removeDirectory(parent: InodeID, name: Name, keep: Bool)
    /// `keep` is about the inode that is replaced.
    case rename(from: InodeID, name: Name, to: InodeID, newName: Name, mode: RenameMode, keep: Bool)
    /// Changes attributes and content of one inode, all or nothing. `republished`: keys whose blocks were put again after a refusal.
    case update(inode: InodeID, attributes: AttributeChange, edits: [Edit], republished: [BlockKey])
    /// An access control list sets permission bits too; `dropsSetGID` where the caller is not of the file's group and so may not leave that bit.
    case setXattr(inode: InodeID, name: [UInt8], value: [UInt8], mode: XattrMode, dropsSetGID: Bool)
    case removeXattr(inode: InodeID, name: [UInt8])
    /// Frees orphans that nobody has open any more; ids that are no orphans are passed over.
    case reap([InodeID])
    case openSession(SessionID, name: String)
    case closeSession(SessionID)
    /// Marks due blocks with no references as being deleted; from now on an update that refers to one is refused.
    case collect([BlockKey])
    /// All replicas have deleted these.
    case collected([BlockKey])
    /// Sets or removes a cluster record if its version is the expected one (0: absent).
    case setRecord(key: String, expectedVersion: UInt64, value: [UInt8]?)
}

/// A command as it stands in the log.
package struct Proposal: Equatable, Sendable {
    /// nil: the service itself.
    package var session: SessionID?
    /// Counts the session's commands from 1. The pair (session, sequence) is applied at most once; a repetition gets the stored outcome.
    package var sequence: UInt64
    /// The session will not repeat commands below this.
    package var acknowledgedBelow: UInt64
    /// The leader's wall time.
    package var time: Timestamp
    /// The timestamps of what is changed, where the session has shown them before it sent the command; nil: `time`.
    package var shown: Timestamp?
    package var command: Command

    package init(session: SessionID?, sequence: UInt64, acknowledgedBelow: UInt64, time: Timestamp, shown: Timestamp? = nil, command: Command) {
        self.session = session
        self.sequence = sequence
        self.acknowledgedBelow = acknowledgedBelow
        self.time = time
        self.shown = shown
        self.command = command
    }
}

/// What became of a command.
package enum Outcome: Equatable, Sendable {
    /// Attributes after the command of the inode it made, linked, moved or changed; and of the parents whose times and counts changed.
    case done(attributes: Attributes?, parents: [Attributes])
    /// Like `done`, for commands that took the last link of an inode: which one, and whether it is an orphan now (`keep`).
    case removed(attributes: Attributes, orphaned: Bool, parents: [Attributes])
    /// A rename: the moved inode, the one replaced or exchanged if any, the parents. Both are the same where both names were of one inode: then
    /// nothing was changed.
    case renamed(moved: Attributes, other: Attributes?, orphaned: Bool, parents: [Attributes])
    /// The new version of a cluster record.
    case recordSet(version: UInt64)
    /// The numbers that were reserved for inodes.
    case reserved(Range<UInt64>)
    case failed(NamespaceError)

    /// The inodes whose attributes it shows.
    package var inodes: [InodeID] {
        switch self {
        case .done(let attributes, let parents): (attributes.map { [$0.inode] } ?? []) + parents.map(\.inode)
        case .removed(let attributes, _, let parents): [attributes.inode] + parents.map(\.inode)
        case .renamed(let moved, let other, _, let parents): [moved.inode] + (other.map { [$0.inode] } ?? []) + parents.map(\.inode)
        case .recordSet, .reserved, .failed: []
        }
    }
}

/// Why a command or a query failed; nothing was changed. `Filesystem` maps these to errno in one table.
package enum NamespaceError: Error, Equatable, Sendable {
    case notFound
    case exists
    case notDirectory
    case isDirectory
    case notEmpty
    /// A directory would come to lie in its own subtree.
    case loop
    case tooManyLinks
    case nameTooLong
    case fileTooLarge
    case invalid
    case noAttribute
    case attributeTooLarge
    case noSpaceForAttribute
    case notPermitted
    /// The inode is gone.
    case stale
    /// The session is unknown or was ended; its leases and locks are gone.
    case noSession
    /// These blocks were deleted or are being deleted; put them again and repeat with `republished`.
    case collected([BlockKey])
    /// An extent was given to a file whose content is inline.
    case inlineContent
    /// The record has another version; carries the present one.
    case conflict(UInt64)
}

/// A question about the namespace; changes nothing.
package enum Query: Equatable, Sendable {
    /// The entry's inode; with content if it is a file and its content is inline or has at most 16 extents in all.
    case lookup(parent: InodeID, name: Name)
    case attributes(InodeID)
    /// Entries after `after` (nil: from the start) in the order of their bytes, at most `limit` (1 ... 4096; with contents 64).
    case list(directory: InodeID, after: Name?, limit: Int, detail: ListDetail)
    /// The extents that touch `offset ..< offset + length`, or the inline content.
    case content(InodeID, offset: UInt64, length: UInt64)
    case symlink(InodeID)
    case xattr(InodeID, name: [UInt8])
    case xattrNames(InodeID)
    case statistics
    case record(key: String)
    /// Keys of records that begin with `prefix`.
    case records(prefix: String)
    /// Inodes on the way from an inode up to the root, by `parent` (directories only).
    case path(InodeID)
}

/// What a listing tells of each entry's inode.
package enum ListDetail: UInt8, CaseIterable, Comparable, Sendable {
    case nothing = 0
    /// Attributes of directories only: all that is wanted by who walks through a tree for its names.
    case directories = 1
    case attributes = 2
    /// Attributes, and of files the content as a lookup tells it.
    case contents = 3

    package static func < (left: ListDetail, right: ListDetail) -> Bool { left.rawValue < right.rawValue }
}

package struct DirectoryEntry: Equatable, Sendable {
    package var name: Name
    package var inode: InodeID
    package var kind: FileKind
    /// Present if the query asked for attributes.
    package var attributes: Attributes?
    /// Present if the query asked for contents and this is a file whose content comes with a lookup.
    package var content: Content?

    package init(name: Name, inode: InodeID, kind: FileKind, attributes: Attributes?, content: Content? = nil) {
        self.name = name
        self.inode = inode
        self.kind = kind
        self.attributes = attributes
        self.content = content
    }
}

/// The answer to a query.
package enum Answer: Equatable, Sendable {
    case attributes(Attributes)
    case found(Attributes, content: Content?)
    /// `complete`: there are no entries after the last one.
    case entries([DirectoryEntry], complete: Bool)
    case content(Content, attributes: Attributes)
    case bytes([UInt8])
    case names([[UInt8]])
    case statistics(inodes: UInt64, referencedBytes: UInt64, blocks: UInt64)
    case record(value: [UInt8], version: UInt64)
    case keys([String])
    case path([Attributes], names: [Name])
    case failed(NamespaceError)
}
