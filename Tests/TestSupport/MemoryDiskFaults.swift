/// How often the operations of a `MemoryDisk` go wrong, each in parts per million of the operations of its kind.
package struct MemoryDiskFaults: Sendable {
    /// EIO.
    package var openErrors = 0
    package var readErrors = 0
    /// EIO after some of the bytes were written.
    package var writeErrors = 0
    /// EIO; the pages count as clean from then on, and are lost at a crash or when the cache is dropped.
    package var syncErrors = 0
    /// EIO for renames, removals, lists and syncs of directories.
    package var nameErrors = 0
    /// ENOSPC after some of the bytes were written.
    package var shortWrites = 0
    /// ENOSPC for allocations and new files.
    package var noSpace = 0
    /// The bytes land on another page of this or of another file, and all seems well.
    package var misdirectedWrites = 0
    /// One bit of what is read changes, on the medium.
    package var rot = 0
    /// All seems well, but nothing was made durable.
    package var lostSyncs = 0

    package init() {}
}
