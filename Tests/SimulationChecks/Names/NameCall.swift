package import Namespace

/// A call on names, as a kernel makes it: directories by their inodes.
package enum NameCall: Equatable, Sendable {
    case lookup(parent: UInt64, name: String)
    /// `isExclusive`: EEXIST if the name is there; else a file that is there is opened. `symbol` stands for the inode until it is known.
    case create(parent: UInt64, name: String, kind: FileKind, isExclusive: Bool, target: String, symbol: UInt64)
    case link(inode: UInt64, parent: UInt64, name: String)
    case unlink(parent: UInt64, name: String)
    case removeDirectory(parent: UInt64, name: String)
    case rename(from: UInt64, name: String, to: UInt64, newName: String, mode: RenameMode)
    case list(UInt64)
    case attributes(UInt64)
    case target(UInt64)
}
