package import Digest
package import Model

/// A copy that is missing where it should be.
package struct ResyncTask: Sendable, Hashable {
    /// Who lacks it. Ourselves: the copy is to be fetched; another: it is to be delivered from here.
    package var node: NodeID
    package var key: BlockKey

    package init(node: NodeID, key: BlockKey) {
        self.node = node
        self.key = key
    }
}
