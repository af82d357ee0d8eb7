package import Model
package import Runtime

/// Where the daemons are. Kept up to date by whoever follows the cluster's layout.
@LoopActor
package final class AddressBook {
    private var addresses: [NodeID: NodeAddress]

    package init(_ addresses: [NodeID: NodeAddress] = [:]) { self.addresses = addresses }

    /// nil where a daemon is not known.
    package subscript(node: NodeID) -> NodeAddress? {
        get { addresses[node] }
        set { addresses[node] = newValue }
    }

    /// All known daemons, in the order of their ids.
    package var nodes: [NodeID] { addresses.keys.sorted() }

    /// Forgets all and takes these.
    package func replaceAll(_ addresses: [NodeID: NodeAddress]) { self.addresses = addresses }
}
