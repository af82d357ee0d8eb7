import Filesystem
import Model
package import Namespace

/// What a call on names returned.
package enum NameOutcome: Equatable, Sendable {
    /// What a name leads to, or what an inode is.
    case entry(NameAttributes)
    case listing([ListedName])
    case target(String)
    case done
    /// An errno(3).
    case failed(Int32)
}

/// What of an inode depends on names.
package struct NameAttributes: Equatable, Sendable {
    package var inode: UInt64
    package var kind: FileKind
    package var links: UInt32
    /// Of a directory: how many entries.
    package var entries: UInt64

    package init(inode: UInt64, kind: FileKind, links: UInt32, entries: UInt64) {
        self.inode = inode
        self.kind = kind
        self.links = links
        self.entries = entries
    }

    package init(_ attributes: Attributes) {
        self.init(
            inode: attributes.inode.rawValue, kind: attributes.kind, links: attributes.links,
            entries: attributes.kind == .directory ? attributes.entries : 0)
    }
}

/// An entry of a listing, "." and ".." left out.
package struct ListedName: Equatable, Sendable {
    package var name: String
    package var inode: UInt64
    package var kind: FileKind

    package init(name: String, inode: UInt64, kind: FileKind) {
        self.name = name
        self.inode = inode
        self.kind = kind
    }
}
