import Bytes
import Model
import Runtime
import TestSupport
import Transport
import Wire

extension FuzzTarget {
    /// A whole channel against a peer that says anything.
    static let channel = FuzzTarget(
        name: "channel",
        decoders: [
            Decoder(
                "server",
                seeds: [
                    Frames.hello + Frames.frame(.request, kind: .probe, request: 1, body: [0]) + Frames.goodbye,
                    Frames.hello + Frames.frame(.request, kind: .blockPut, request: 1, body: [1], payload: [2, 3])
                        + Frames.frame(.request, kind: .raft, request: 2) + Frames.frame(.request, kind: .join, request: 3),
                    Frames.frame(.request, kind: .probe, request: 1), Frames.goodbye,
                ], mutations: 40
            ) { bytes throws(Violation) in
                let conversation = Array(bytes)
                try checkOnLoop { () throws(Violation) in try await Conversation.withServer(says: conversation) }
            },
            Decoder(
                "client",
                seeds: [
                    Frames.hello + Frames.frame(.reply, request: 1, body: [1]) + Frames.failure + Frames.frame(.reply, request: 3),
                    Frames.hello + Frames.frame(.error, request: 2, body: WireFailure(code: 2, cause: "x", detail: [9]).encoded)
                        + Frames.frame(.request, kind: .probe, request: 1) + Frames.goodbye, Frames.goodbye,
                ], mutations: 40
            ) { bytes throws(Violation) in
                let conversation = Array(bytes)
                try checkOnLoop { () throws(Violation) in try await Conversation.withClient(says: conversation) }
            },
        ], allocationMebibytesMax: 13)
}

/// One connection in memory, of which one end is a channel and the other end says what the fuzzer made up.
@LoopActor
private enum Conversation {
    static func withServer(says bytes: [UInt8]) async throws(Violation) {
        let (world, near, far) = try await connect()
        let channel = MessageChannel(far, clock: world.clock, settings: settings(node: 1), isServer: true)
        let opening = Task { @LoopActor in try? await channel.open(timeout: Nanoseconds.second) }
        bytes.withUnsafeBytes { _ = near.write([$0]) }
        await settle(turns: 12)
        near.close()
        await settle(turns: 12)
        await opening.value
        try require(!channel.isOpen, "the channel is open though its stream has ended")
    }

    static func withClient(says bytes: [UInt8]) async throws(Violation) {
        let (world, near, far) = try await connect()
        let channel = MessageChannel(near, clock: world.clock, settings: settings(node: 2), isServer: false)
        let calls = Task { @LoopActor in
            try? await channel.open(timeout: Nanoseconds.second)
            async let first = try? channel.call(.probe, Message(body: [1]), timeout: Nanoseconds.second)
            async let second = try? channel.call(.status, Message(), timeout: Nanoseconds.second)
            _ = await (first, second)
        }
        bytes.withUnsafeBytes { _ = far.write([$0]) }
        await settle(turns: 12)
        far.close()
        // Ends only if every call is answered or fails.
        await calls.value
        try require(!channel.isOpen, "the channel is open though its stream has ended")
    }

    private static func connect() async throws(Violation) -> (MemoryWorld, any ByteStream, any ByteStream) {
        let world = MemoryWorld(seed: 1)
        var accepted: (any ByteStream)?
        _ = try? world.node(1).network.listen(at: .tcp(host: "far", port: 1)) { accepted = $0 }
        let near = try? await world.node(2).network.connect(to: .tcp(host: "far", port: 1), expecting: nil, timeout: 1)
        let far = accepted
        // The listener lives on in the fabric, and with it what its closure holds.
        accepted = nil
        guard let near, let far else { throw Violation("nothing was accepted") }
        return (world, near, far)
    }

    private static func settings(node: UInt64) -> ChannelSettings {
        ChannelSettings(
            identity: ChannelIdentity(cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: node), role: .node, machine: ""),
            handler: { _, message, _ throws(TransportError) in message }, log: quiet)
    }
}
