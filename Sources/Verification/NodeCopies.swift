import Digest

/// The copies of blocks that one node has.
struct NodeCopies {
    /// The lengths of their blocks, those of bad copies included.
    var lengths: [BlockKey: UInt32] = [:]
    /// Copies that the node itself has found bad, and no longer serves.
    var bad: Set<BlockKey> = []

    func hasGood(_ key: BlockKey) -> Bool { lengths[key] != nil && !bad.contains(key) }
}
