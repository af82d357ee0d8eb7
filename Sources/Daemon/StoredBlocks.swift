import BlockStore
package import Blocks
package import Bytes
package import Digest
package import Runtime

/// The daemon's block store as `BlockService` sees it.
@LoopActor
final class StoredBlocks: LocalBlocks {
    private let store: BlockStore

    init(_ store: BlockStore) { self.store = store }
}
