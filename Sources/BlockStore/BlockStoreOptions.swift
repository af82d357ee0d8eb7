package import Model

/// How a block store behaves.
package struct BlockStoreOptions: Sendable {
    /// Written into every segment; data of another node or cluster is refused.
    package var cluster: ClusterID
    package var node: NodeID
    /// Bytes of one segment file. 64 KiB … 4 GiB.
    package var segmentBytes: UInt64
    /// Largest block in bytes. At most 4 MiB.
    package var blockBytesMax: Int
    /// Content of puts under way at a time; further puts wait.
    package var putBytesMax: Int
    /// Puts are refused if they would leave less than this available on the disk. Deletes and compaction may use it, so it should be
    /// at least two segments.
    package var reserveBytes: UInt64
    /// A full segment with a smaller part of live bytes is compacted, in percent.
    package var compactionPercent: UInt64
    /// Compaction copies no faster than this many bytes per second; 0 for no limit.
    package var compactionBytesPerSecond: UInt64
    /// Whether deletes start compaction by themselves. Without, somebody calls `compactOnce`.
    package var compactsByItself: Bool
    /// The index is flushed after so many bytes of records, which bounds what the next opening scans.
    package var indexFlushBytes: UInt64

    package init(
        cluster: ClusterID, node: NodeID, segmentBytes: UInt64 = 256 << 20, blockBytesMax: Int = 4 << 20, putBytesMax: Int = 64 << 20,
        reserveBytes: UInt64 = 1 << 30, compactionPercent: UInt64 = 50, compactionBytesPerSecond: UInt64 = 64 << 20,
        compactsByItself: Bool = true, indexFlushBytes: UInt64 = 512 << 20
    ) {
        self.cluster = cluster
        self.node = node
        self.segmentBytes = segmentBytes
        self.blockBytesMax = blockBytesMax
        self.putBytesMax = putBytesMax
        self.reserveBytes = reserveBytes
        self.compactionPercent = compactionPercent
        self.compactionBytesPerSecond = compactionBytesPerSecond
        self.compactsByItself = compactsByItself
        self.indexFlushBytes = indexFlushBytes
    }
}
