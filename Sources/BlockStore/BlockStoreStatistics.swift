package import Digest

/// Figures of a block store.
package struct BlockStoreStatistics: Sendable, Equatable {
    /// Blocks that can be read.
    package var blocks: UInt64
    /// Bytes of their content, before compression.
    package var contentBytes: UInt64
    /// Bytes of records that are in use.
    package var liveBytes: UInt64
    /// Bytes of segments that compaction can give back.
    package var deadBytes: UInt64
    /// Bytes of all segment files, with room that is preallocated.
    package var fileBytes: UInt64
    package var segments: Int
    /// Copies that are damaged and not served.
    package var quarantined: Int
    /// Puts since opening whose content did not have the key.
    package var mismatches: UInt64
    /// The filesystem that holds the segments, in bytes.
    package var diskTotal: UInt64
    package var diskAvailable: UInt64
    /// Whether puts are refused because a write failed.
    package var hasFailed: Bool
}

/// One block, as a listing shows it.
package struct BlockListing: Sendable, Equatable {
    package var key: BlockKey
    /// Bytes of its content.
    package var length: Int
    /// Whether the copy is damaged.
    package var isBad: Bool
}
