/// The tables of the namespace: the first byte of a row's key. Fields after it are big-endian, so rows sort by them.
package enum Table: UInt8, CaseIterable, Sendable {
    /// One row: what was applied, counters, totals (`StateRecord`).
    case state = 0x01
    /// (inode) → `InodeRecord`
    case inode = 0x10
    /// (parent, name) → `EntryRecord`
    case entry = 0x11
    /// (inode, region) → `ExtentRow`
    case extents = 0x12
    /// (inode) → content that lies in the namespace itself
    case inline = 0x13
    /// (inode) → target of a symlink
    case symlink = 0x14
    /// (inode, name) → value
    case xattr = 0x15
    /// (inode) → nothing; inodes without links that were open when they lost the last one, or that are being freed
    case orphan = 0x16
    /// (directory) → its name in its parent; what makes paths cheap
    case location = 0x17
    /// (block key) → `ReferenceRecord`
    case reference = 0x20
    /// (due time, block key) → nothing; unreferenced blocks that wait for collection
    case queue = 0x21
    /// (block key) → nothing; blocks that are being deleted
    case collecting = 0x22
    /// (expiry, block key) → nothing; blocks that were deleted
    case tombstone = 0x23
    /// (session) → `SessionRecord`
    case session = 0x30
    /// (session, sequence) → `Outcome`
    case outcome = 0x31
    /// (key) → `ClusterRecord`
    case record = 0x40

    /// The key of the table's rows without fields.
    package var prefix: [UInt8] { [rawValue] }

    /// The first key after the table.
    package var end: [UInt8] { [rawValue + 1] }
}
