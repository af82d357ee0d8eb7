package import Model
package import Runtime
package import TestSupport

/// All the cables of a simulated world.
///
/// Streams are what TCP and Unix sockets give: ordered bytes that arrive late, in other pieces, or not at all any more. A lost piece holds up those
/// behind it; a cut link holds everything up; a reset ends a stream with part of what was under way delivered.
@LoopActor
package final class SimulatedNetwork: Sendable {
    let time: SimulatedTime
    let random: SeededRandom
    private var listeners: [Endpoint: SimulatedListener] = [:]
    private var conditions: [LinkEnds: LinkCondition] = [:]
    private var streams: [WeakStream] = []
    /// What links are like that nothing else was said of.
    package var usual = LinkCondition()
    /// Bytes that one direction of a stream holds before its writer has to wait.
    let window = 1 << 20

    package init(time: SimulatedTime, random: SeededRandom) {
        self.time = time
        self.random = random
    }

    /// The network as `process` on `machine` has it; the other ends see `identity`.
    package func attach(_ process: SimulatedProcess, machine: SimulatedMachine, identity: Peer) -> any Network {
        ProcessNetwork(network: self, process: process, machine: machine, identity: identity)
    }

    package func change(from source: String, to target: String, _ change: (inout LinkCondition) -> Void) {
        let ends = LinkEnds(source: source, target: target)
        var condition = conditions[ends] ?? usual
        change(&condition)
        conditions[ends] = condition
        for stream in livingStreams where stream.ends == ends { stream.linkChanged() }
    }

    /// Every link is as usual again.
    package func healAll() {
        conditions = [:]
        for stream in livingStreams { stream.linkChanged() }
    }

    /// Ends a stream between the two, with any part of what is under way delivered, as a firewall or a peer's kernel does. False if there is none.
    @discardableResult
    package func reset(between one: String, and other: String) -> Bool {
        let candidates = livingStreams.filter {
            !$0.isOver && ($0.ends == LinkEnds(source: one, target: other) || $0.ends == LinkEnds(source: other, target: one))
        }
        guard !candidates.isEmpty else { return false }
        candidates[random.below(candidates.count)].reset()
        return true
    }

    /// A machine is without power: nobody hears that its streams ended.
    func silence(_ machine: String) {
        for stream in livingStreams where stream.ends.target == machine { stream.vanish() }
    }

    /// Streams whose one end lost its memory are refused by it from now on.
    func forget(machine: String) {
        for stream in livingStreams where stream.ends.source == machine || stream.ends.target == machine { stream.forgotten(by: machine) }
    }

    private var livingStreams: [SimulatedStream] { streams.compactMap(\.stream) }

    fileprivate func listen(_ listener: SimulatedListener, at endpoint: Endpoint) throws(NetworkError) {
        guard listeners[endpoint] == nil else { throw NetworkError(.cannotListen, "\(endpoint) is in use") }
        listeners[endpoint] = listener
    }

    fileprivate func stopListening(_ listener: SimulatedListener, at endpoint: Endpoint) {
        if listeners[endpoint] === listener { listeners[endpoint] = nil }
    }

    fileprivate func connect(
        _ client: ProcessNetwork, _ endpoint: Endpoint, expecting: NodeID?, timeout: UInt64,
        _ done: @escaping @LoopActor (Result<SimulatedStream, NetworkError>) -> Void
    ) {
        let machine: String
        switch endpoint {
        case .tcp(let host, _): machine = host
        // A Unix socket's path is of the own machine only.
        case .unix: machine = client.machine.name
        }
        let there = LinkEnds(source: client.machine.name, target: machine)
        let back = LinkEnds(source: machine, target: client.machine.name)
        let isLocal = machine == client.machine.name
        let isDead = !isLocal && (!client.machine.isPowered(machine) || condition(there).isCut || condition(back).isCut)
        let giveUp: @LoopActor () -> Void = { done(.failure(NetworkError(.timedOut, "no answer from \(endpoint)"))) }
        guard !isDead else {
            _ = time.schedule(after: timeout) { [process = client.process] in process.deliver(giveUp) }
            return
        }
        _ = time.schedule(after: travelTime(there)) { [self] in
            let listener = listeners[endpoint]
            guard let listener, listener.machine.name == machine, !listener.process.isDead, !client.process.isDead else {
                _ = time.schedule(after: travelTime(back)) {
                    client.process.deliver { done(.failure(NetworkError(.unreachable, "nobody listens at \(endpoint)"))) }
                }
                return
            }
            if let expecting, listener.identity.node != expecting {
                client.process.deliver { done(.failure(NetworkError(.notAuthentic, "\(endpoint) is not node \(expecting)"))) }
                return
            }
            let near = SimulatedStream(self, client.process, LinkEnds(source: machine, target: client.machine.name), peer: listener.identity)
            let far = SimulatedStream(self, listener.process, LinkEnds(source: client.machine.name, target: machine), peer: client.identity)
            near.other = far
            far.other = near
            if streams.count > 256 { streams.removeAll { $0.stream == nil || $0.stream?.isOver == true } }
            streams.append(WeakStream(stream: near))
            streams.append(WeakStream(stream: far))
            listener.process.deliver { listener.accept(far) }
            _ = time.schedule(after: travelTime(back)) { client.process.deliver { done(.success(near)) } }
        }
    }

    func condition(_ ends: LinkEnds) -> LinkCondition {
        ends.source == ends.target ? Self.local : conditions[ends] ?? usual
    }

    /// How long a small piece takes now.
    func travelTime(_ ends: LinkEnds, bytes: Int = 0) -> UInt64 {
        let condition = condition(ends)
        var result = condition.latencyMin
        // An exponential distribution by halving: cheap, and the same on every machine.
        var part = condition.latencyMean
        let bits = random.next()
        for bit in 0..<4 where bits >> UInt64(bit) & 1 == 1 {
            result += part
            part += part
        }
        result += bits >> 16 % max(1, condition.latencyMean)
        if condition.loss > 0 {
            var again = LinkCondition.retransmission
            while random.below(10_000) < condition.loss, again < 8 * LinkCondition.retransmission {
                result += again
                again *= 2
            }
        }
        return result + UInt64(bytes) * 1_000_000_000 / condition.rate
    }

    private static let local: LinkCondition = {
        var condition = LinkCondition()
        condition.latencyMin = 5_000
        condition.latencyMean = 5_000
        condition.rate = 2_000_000_000
        return condition
    }()
}

/// Of one direction of the traffic between two machines, by their names.
struct LinkEnds: Hashable, Sendable {
    var source: String
    var target: String
}

private struct WeakStream {
    weak var stream: SimulatedStream?
}

/// The network as one process has it.
@LoopActor
private final class ProcessNetwork: Network {
    let network: SimulatedNetwork
    let process: SimulatedProcess
    let machine: SimulatedMachine
    let identity: Peer

    init(network: SimulatedNetwork, process: SimulatedProcess, machine: SimulatedMachine, identity: Peer) {
        self.network = network
        self.process = process
        self.machine = machine
        self.identity = identity
    }

    func listen(at endpoint: Endpoint, accept: @escaping @LoopActor (any ByteStream) -> Void) throws(NetworkError) -> any Listener {
        let listener = SimulatedListener(network: self, endpoint: endpoint, accept: accept)
        try network.listen(listener, at: endpoint)
        process.onDeath { listener.close() }
        return listener
    }

    func connect(to endpoint: Endpoint, expecting: NodeID?, timeout: UInt64) async throws(NetworkError) -> any ByteStream {
        let result: Result<SimulatedStream, NetworkError> = await withUnsafeContinuation { continuation in
            network.connect(self, endpoint, expecting: expecting, timeout: timeout) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }
}

@LoopActor
private final class SimulatedListener: Listener {
    private let owner: ProcessNetwork
    let endpoint: Endpoint
    let accept: @LoopActor (any ByteStream) -> Void

    var process: SimulatedProcess { owner.process }
    var machine: SimulatedMachine { owner.machine }
    var identity: Peer { owner.identity }

    init(network: ProcessNetwork, endpoint: Endpoint, accept: @escaping @LoopActor (any ByteStream) -> Void) {
        owner = network
        self.endpoint = endpoint
        self.accept = accept
    }

    func close() { owner.network.stopListening(self, at: endpoint) }
}
