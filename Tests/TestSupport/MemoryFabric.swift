package import Model
package import Runtime

/// The cables between the machines of a world in memory: ordered byte streams with bounded buffers, and links that can be cut.
@LoopActor
package final class MemoryFabric {
    let clock: any Clock
    /// How long bytes travel, in nanoseconds. For streams made afterwards as well as before.
    package var latency: UInt64 = 0
    /// At most so many bytes are taken by one read or write; small values show who counts on whole messages.
    package var fragment = Int.max
    /// Bytes that one direction of a stream holds before its writer has to wait.
    package var capacity = 1 << 20
    private var listeners: [Endpoint: MemoryListener] = [:]
    private var cuts: Set<Link> = []
    private var streams: [WeakStream] = []
    private var nextPort: UInt16 = 40000

    /// - Parameter clock: for latency and for the time limits of connects.
    package init(clock: any Clock) { self.clock = clock }

    /// The network as the machine `name` has it; the other ends see `peer`.
    package func network(_ name: String, as peer: Peer) -> MemoryNetwork { MemoryNetwork(fabric: self, name: name, identity: peer) }

    /// Nothing gets through between the two, in either direction, until `heal`. Streams stay open and keep what is under way.
    package func cut(_ one: String, _ other: String) { cuts.insert(Link(one, other)) }

    package func heal(_ one: String, _ other: String) {
        cuts.remove(Link(one, other))
        for stream in streams { stream.stream?.linkChanged() }
    }

    package func healAll() {
        cuts.removeAll()
        for stream in streams { stream.stream?.linkChanged() }
    }

    /// Ends all streams between the two.
    package func reset(_ one: String, _ other: String) {
        for stream in streams.compactMap(\.stream) where stream.link == Link(one, other) { stream.breakNow() }
    }

    /// What the end of a process does: its listeners are gone and its streams end.
    package func crash(_ name: String) {
        for (endpoint, listener) in listeners where listener.machine == name { listeners[endpoint] = nil }
        for stream in streams.compactMap(\.stream) where stream.link.touches(name) { stream.breakNow() }
    }

    func isCut(_ link: Link) -> Bool { cuts.contains(link) }

    func add(_ listener: MemoryListener, at endpoint: Endpoint) throws(NetworkError) -> Endpoint {
        var endpoint = endpoint
        if case .tcp(let host, 0) = endpoint {
            endpoint = .tcp(host: host, port: nextPort)
            nextPort += 1
        }
        guard listeners[endpoint] == nil else { throw NetworkError(.cannotListen, "\(endpoint) is in use") }
        listeners[endpoint] = listener
        return endpoint
    }

    func remove(_ listener: MemoryListener, at endpoint: Endpoint) {
        if listeners[endpoint] === listener { listeners[endpoint] = nil }
    }

    func connect(from network: MemoryNetwork, to endpoint: Endpoint, expecting: NodeID?, timeout: UInt64) async throws(NetworkError) -> MemoryStream {
        await Task.yield()
        guard let listener = listeners[endpoint] else { throw NetworkError(.unreachable, "nobody listens at \(endpoint)") }
        let link = Link(network.name, listener.machine)
        if isCut(link) {
            await clock.sleep(nanoseconds: timeout)
            throw NetworkError(.timedOut, "no answer from \(endpoint)")
        }
        if let expecting, listener.identity.node != expecting {
            throw NetworkError(.notAuthentic, "\(endpoint) is not node \(expecting)")
        }
        let near = MemoryStream(fabric: self, link: link, peer: listener.identity)
        let far = MemoryStream(fabric: self, link: link, peer: network.identity)
        near.other = far
        far.other = near
        streams.removeAll { $0.stream == nil }
        streams += [WeakStream(stream: near), WeakStream(stream: far)]
        listener.accept(far)
        return near
    }
}

/// Two machines.
struct Link: Hashable {
    private let names: Set<String>

    init(_ one: String, _ other: String) { names = [one, other] }

    func touches(_ name: String) -> Bool { names.contains(name) }
}

private struct WeakStream {
    weak var stream: MemoryStream?
}
