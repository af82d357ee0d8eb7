extension Limits {
    /// Keys or inodes in one command: republished, collected or reaped.
    package static let keysPerCommand = 8192
    /// Extents in one region; a compaction is due long before.
    package static let extentsPerRegion = 8192
    /// Extents in one answer; a query of a range with more is `.invalid`, so ask for a shorter one.
    package static let extentsPerAnswer = 65_536
    /// Extents that a lookup brings along.
    package static let extentsPerLookup = 16
    package static let entriesPerAnswer = 4096
    /// Entries in one answer that come with contents: about 256 KiB of those that lie in the inodes.
    package static let contentsPerAnswer = 64
    /// Directories between an inode and the root that a query of its path follows.
    package static let pathDepth = 65_536
    /// Extents that one command frees when it removes a file; what is left stays an orphan for the next reap.
    package static let extentsFreedPerCommand = 65_536
    package static let sessions: UInt64 = 65_536
    package static let sessionNameBytes = 255
    /// How far a session's sequence may be ahead of what it acknowledged; so many outcomes are kept.
    package static let sequenceWindow: UInt64 = 1024
    /// Cluster records in all.
    package static let records = 4096
    package static let recordKeyBytes = 255
    package static let recordBytes = 1 << 20
    /// Counts and sums in rows: no namespace lives long enough to reach it.
    static let counter: UInt64 = 1 << 62
    static let smallCounter: UInt32 = 1 << 30
}
