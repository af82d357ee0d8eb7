package import Runtime
package import Bytes
package import Digest

/// The blocks on this daemon's own disk, as `BlockService` needs them.
@LoopActor
package protocol LocalBlocks: AnyObject, Sendable {
    /// Checks `content` against `key` and returns when it is on disk. Quick if a copy that is not known to be bad is there already.
    /// - Throws: `.mismatch`, `.noSpace`, `.invalid`, `.failed`.
    func put(_ key: BlockKey, _ content: Slice) async throws(BlockFailure)
    /// Reads a range, or, where `range` is nil, the whole block; the pages that were read are checked against their checksums. A
    /// copy found bad is quarantined.
    /// - Throws: `.missing`, `.corrupt`, `.invalid`, `.failed`.
    func get(_ key: BlockKey, range: Range<Int>?) async throws(BlockFailure) -> Slice
    /// The length of the block, from the index alone; nil if there is no copy or it is known to be bad.
    func length(of key: BlockKey) async throws(BlockFailure) -> Int?
    /// Where the content lies in a file, uncompressed; nil where it does not, or there is no good copy.
    func place(of key: BlockKey) async throws(BlockFailure) -> BlockPlaceReply?
    /// Up to `limit` blocks with keys above `after`, ascending, bad copies too; fewer only at the end.
    func list(after: BlockKey?, limit: Int) async throws(BlockFailure) -> [StoredBlock]
    /// Reads the whole block and checks it against its key. A copy found bad may be quarantined, and is bad ever after.
    func check(_ key: BlockKey) async throws(BlockFailure) -> BlockCondition
    /// Takes a bad copy out of use, so that a later `put` of the key stores a good one. Fine if there is none.
    func quarantine(_ key: BlockKey) async throws(BlockFailure)
    /// Forgets blocks, durably. Fine for those that are not there.
    func delete(_ keys: [BlockKey]) async throws(BlockFailure)
}
