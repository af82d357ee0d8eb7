/// A change of directory entries that is not durable yet: create, link, unlink, mkdir, rmdir, rename. It becomes durable as a whole or not at all.
struct NameChange {
    struct Effect {
        let directory: UInt64
        let name: String
        /// nil: the name is removed.
        let target: UInt64?
    }

    var effects: [Effect]
    /// Inodes whose names change.
    let inodes: [UInt64]
    /// A rename is nothing without the earlier changes of the same inode: they become durable with it.
    let isRename: Bool
}
