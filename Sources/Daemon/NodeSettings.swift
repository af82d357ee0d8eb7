package import Blocks
package import BlockStore
package import Metadata
package import Model

/// Who a daemon is, and how its services behave.
package struct NodeSettings: Sendable {
    package var cluster: ClusterID
    package var node: NodeID
    /// Under which the others reach it.
    package var address: NodeAddress
    /// Its share of the blocks, relative to the other nodes.
    package var weight: Int
    /// Failure zone; replicas of a block go to different ones while there are any.
    package var zone: String
    /// Absolute path of the directory for block segments; it exists.
    package var segmentsDirectory: String
    package var blocks: BlockStoreOptions
    package var metadata: MetadataOptions
    package var audit = ReplicaAudit.Options()
    /// Makes the metadata group of a new cluster, of this one node.
    package var isFounding: Bool

    package init(
        cluster: ClusterID, node: NodeID, address: NodeAddress, weight: Int = 1, zone: String = "", segmentsDirectory: String,
        blocks: BlockStoreOptions, metadata: MetadataOptions, isFounding: Bool
    ) {
        self.cluster = cluster
        self.node = node
        self.address = address
        self.weight = weight
        self.zone = zone
        self.segmentsDirectory = segmentsDirectory
        self.blocks = blocks
        self.metadata = metadata
        self.isFounding = isFounding
    }
}
