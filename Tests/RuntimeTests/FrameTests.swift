import Bytes
import Model
import Runtime
import TestSupport
import Testing
import Transport
import Wire

@Suite struct FrameTests {
    private func decode(_ bytes: [UInt8]) throws -> FrameHeader {
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            return try FrameHeader(from: &reader)
        }
    }

    private func encode(_ header: FrameHeader) -> [UInt8] {
        var writer = ByteWriter()
        header.encode(to: &writer)
        return writer.bytes
    }

    @Test func headerRoundTrip() throws {
        let header = FrameHeader(type: .request, kind: 0x1234, request: 0x0102_0304_0506_0708, bodyLength: 5, payloadLength: 4 << 20)
        let bytes = encode(header)
        #expect(bytes == [0xD1, 2, 0x34, 0x12, 8, 7, 6, 5, 4, 3, 2, 1, 5, 0, 0, 0, 0, 0, 0x40, 0])
        #expect(bytes.count == FrameHeader.size)
        #expect(try decode(bytes) == header)
    }

    @Test func limitsAreChecked() {
        #expect(throws: DecodeError.self) {
            try decode(encode(FrameHeader(type: .request, kind: 1, request: 1, bodyLength: FrameHeader.bodyMax + 1)))
        }
        #expect(throws: DecodeError.self) {
            try decode(encode(FrameHeader(type: .request, kind: 1, request: 1, bodyLength: 0, payloadLength: FrameHeader.payloadMax + 1)))
        }
        #expect(throws: DecodeError.self) { try decode(encode(FrameHeader(type: .hello, bodyLength: FrameHeader.helloBodyMax + 1))) }
        #expect(throws: DecodeError.self) { try decode(encode(FrameHeader(type: .reply, request: 0, bodyLength: 0))) }
        #expect(throws: DecodeError.self) { try decode([0x47] + [UInt8](repeating: 0, count: 19)) }
    }

    @Test func helloOfAnotherVersion() {
        var hello = Hello(cluster: ClusterID(rawValue: 1), node: nil, role: .mount).encoded
        hello[0] = 9
        #expect(throws: DecodeError.invalid("version 9")) { try Hello(decoding: hello) }
    }

    /// Whatever arrives, the channel ends or waits; nothing traps and nothing large is allocated.
    @Test @LoopActor func hostileBytes() async throws {
        let random = SeededRandom(seed: 42)
        for round in 0..<300 {
            let world = MemoryWorld(seed: UInt64(round))
            let far = world.node(1)
            let near = world.node(2)
            var accepted: (any ByteStream)?
            _ = try far.network.listen(at: .tcp(host: "far", port: 1)) { accepted = $0 }
            let stream = try await near.network.connect(to: .tcp(host: "far", port: 1), expecting: nil, timeout: 1)
            guard let accepted else { throw ToolError(cause: "nothing was accepted") }
            let settings = ChannelSettings(
                identity: ChannelIdentity(cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), role: .node, machine: ""),
                handler: echo, log: quiet)
            let channel = MessageChannel(accepted, clock: world.clock, settings: settings, isServer: true)
            let opening = Task { @LoopActor in try await channel.open(timeout: Nanoseconds.second) }
            var bytes = encode(FrameHeader(type: .hello, bodyLength: 19))
            bytes += Hello(cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 2), role: .node).encoded
            bytes += encode(FrameHeader(type: .request, kind: RequestKind.probe.rawValue, request: 1, bodyLength: 4)) + [1, 2, 3, 4]
            for _ in 0..<(1 + random.below(4)) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            bytes.withUnsafeBytes { _ = stream.write([$0]) }
            await settle(turns: 20)
            stream.close()
            await settle(turns: 20)
            _ = await opening.result
            #expect(!channel.isOpen)
        }
    }
}
