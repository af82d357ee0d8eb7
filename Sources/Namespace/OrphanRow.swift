/// What the row of an inode without links says: it is there because somebody has it open, or until all of it is freed.
package enum OrphanRow {
    /// Its last name was removed: it gets none again.
    package static let removed: [UInt8] = []
    /// It never had a name and may get one, link(2).
    package static let temporary: [UInt8] = [1]
}
