package import Model
package import Runtime

/// The network as one machine of a `MemoryFabric` has it.
@LoopActor
package final class MemoryNetwork: Network {
    private let fabric: MemoryFabric
    let name: String
    /// As what the other ends see this machine.
    package var identity: Peer

    init(fabric: MemoryFabric, name: String, identity: Peer) {
        self.fabric = fabric
        self.name = name
        self.identity = identity
    }

    package func listen(at endpoint: Endpoint, accept: @escaping @LoopActor (any ByteStream) -> Void) throws(NetworkError) -> any Listener {
        let listener = MemoryListener(fabric: fabric, machine: name, identity: identity, accept: accept)
        listener.endpoint = try fabric.add(listener, at: endpoint)
        return listener
    }

    package func connect(to endpoint: Endpoint, expecting: NodeID?, timeout: UInt64) async throws(NetworkError) -> any ByteStream {
        try await fabric.connect(from: self, to: endpoint, expecting: expecting, timeout: timeout)
    }
}

@LoopActor
final class MemoryListener: Listener {
    private let fabric: MemoryFabric
    let machine: String
    let identity: Peer
    let accept: @LoopActor (any ByteStream) -> Void
    var endpoint = Endpoint.tcp(host: "", port: 0)

    init(fabric: MemoryFabric, machine: String, identity: Peer, accept: @escaping @LoopActor (any ByteStream) -> Void) {
        self.fabric = fabric
        self.machine = machine
        self.identity = identity
        self.accept = accept
    }

    func close() { fabric.remove(self, at: endpoint) }
}
