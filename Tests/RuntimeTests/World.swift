import Bytes
import Model
import Runtime
import Telemetry
import TestSupport
import Transport
import Wire

let quiet = Log(component: "test", level: .error)

extension Message {
    init(_ text: String, payload: Slice? = nil) { self.init(body: Array(text.utf8), payload: payload) }
    var text: String { String(decoding: body, as: UTF8.self) }
}

/// Answers with what it was asked.
let echo: RequestHandler = { _, message, _ throws(TransportError) in message }

/// Two ends of a channel.
@LoopActor
struct Pair {
    var client: MessageChannel
    var server: MessageChannel

    /// Over a fabric in memory.
    static func memory(
        _ world: MemoryWorld, clientRole: Role = .node, server handler: RequestHandler?, client clientHandler: RequestHandler? = nil
    ) async throws -> Pair {
        let clientNode = clientRole == .node ? NodeID(rawValue: 2) : nil
        let near = world.environment("near", as: Peer(role: clientRole, node: clientNode, label: "near"), disk: MemoryDisk())
        let far = world.environment("far", as: Peer(role: .node, node: NodeID(rawValue: 1), label: "far"), disk: MemoryDisk())
        let cluster = ClusterID(rawValue: 7)
        let serverSettings = ChannelSettings(
            identity: ChannelIdentity(cluster: cluster, node: NodeID(rawValue: 1), role: .node, machine: "far"), handler: handler, log: quiet)
        let clientSettings = ChannelSettings(
            identity: ChannelIdentity(cluster: cluster, node: clientNode, role: clientRole, machine: "near"), handler: clientHandler, log: quiet)
        var accepted: (any ByteStream)?
        _ = try far.network.listen(at: .tcp(host: "far", port: 1)) { accepted = $0 }
        let stream = try await near.network.connect(
            to: .tcp(host: "far", port: 1), expecting: NodeID(rawValue: 1), timeout: Nanoseconds.second)
        guard let accepted else { throw ToolError(cause: "nothing was accepted") }
        let client = MessageChannel(stream, clock: world.clock, settings: clientSettings, isServer: false, expecting: NodeID(rawValue: 1))
        let server = MessageChannel(accepted, clock: world.clock, settings: serverSettings, isServer: true)
        async let served: Void = server.open(timeout: Nanoseconds.second)
        try await client.open(timeout: Nanoseconds.second)
        try await served
        return Pair(client: client, server: server)
    }
}

/// A stop that a test opens when it wants the waiting to go on.
@LoopActor
final class Gate {
    private var isOpen = false
    private var waiting: [UnsafeContinuation<Void, Never>] = []
    var count: Int { waiting.count }

    func wait() async {
        if isOpen { return }
        await withUnsafeContinuation { waiting.append($0) }
    }

    func open() {
        isOpen = true
        for continuation in waiting { continuation.resume() }
        waiting = []
    }
}

func pattern(_ count: Int, seed: UInt8 = 1) -> Slice {
    let buffer = BufferPool.shared.buffer(capacity: count)
    for index in 0..<count { buffer.storage[index] = UInt8(truncatingIfNeeded: index &* 31 &+ (index >> 8)) &+ seed }
    buffer.count = count
    return buffer.slice
}

@LoopActor
final class Counter {
    var value = 0
}

@LoopActor
final class Holder {
    var channel: MessageChannel?
}
