package import Metadata
package import OrderedStore
package import Runtime

/// The ordered stores of a daemon, opened.
@LoopActor
package struct NodeStores {
    /// Where each block lies. May lose what was not flushed: it is made good from the segments.
    package var blockIndex: any OrderedStore
    /// Owed copies. Each write is durable by itself.
    package var resync: any OrderedStore
    /// The metadata state.
    package var state: any StateStoreProvider

    package init(blockIndex: any OrderedStore, resync: any OrderedStore, state: any StateStoreProvider) {
        self.blockIndex = blockIndex
        self.resync = resync
        self.state = state
    }
}
