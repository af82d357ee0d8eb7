import Digest

/// How a command changes the number of extents that refer to blocks.
struct ReferenceChanges {
    struct Change {
        var count = 0
        /// Bytes in the block, as the extents say.
        var length: UInt32
        /// Two extents disagree about the block's length.
        var isContradictory = false
    }

    private(set) var changes: [BlockKey: Change] = [:]

    mutating func add(_ extent: Extent) { change(extent, by: 1) }
    mutating func remove(_ extent: Extent) { change(extent, by: -1) }

    /// In the order of the keys, which is the same everywhere, as a dictionary's is not.
    var sorted: [(key: BlockKey, value: Change)] { changes.sorted { $0.key < $1.key } }

    private mutating func change(_ extent: Extent, by count: Int) {
        var change = changes[extent.key] ?? Change(length: extent.blockLength)
        change.count += count
        if change.length != extent.blockLength { change.isContradictory = true }
        changes[extent.key] = change
    }
}
