import Bytes
import Model
import Runtime
import TestSupport
@testable import Transport
import Wire

extension FuzzTarget {
    /// What cuts a byte stream into frames, and the frames' own content.
    static let frames = FuzzTarget(
        name: "frames",
        decoders: [
            Decoder("FrameHeader", seeds: Frames.headers.map(Frames.encode)) { bytes throws(Violation) in
                var reader = ByteReader(bytes)
                guard let header = try? FrameHeader(from: &reader) else { return }
                let again = Frames.encode(header)
                try require(again.elementsEqual(bytes.prefix(FrameHeader.size)), "a frame header has two encodings: \(header)")
            },
            .codable(
                Hello.self, Hello(cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 2), role: .node),
                Hello(cluster: ClusterID(rawValue: 7), node: nil, role: .mount)),
            .codable(WireFailure.self, WireFailure(code: 3, cause: "no such block", detail: [1, 2, 3]), WireFailure(code: 1, cause: "")),
            Decoder("FrameReceiver", seeds: Frames.streams, mutations: 200) { bytes throws(Violation) in
                guard bytes.count > 2 else { return }
                let fragment = Int(bytes[0]) + 1
                let stream = Array(bytes[1...])
                // However the bytes arrive, the frames are the same.
                try checkOnLoop { () throws(Violation) in
                    let whole = Frames.receive(stream, fragment: .max)
                    let pieces = Frames.receive(stream, fragment: fragment)
                    try require(whole == pieces, "frames depend on how the bytes arrive: \(whole) and \(pieces)")
                }
            },
        ], allocationMebibytesMax: 13)
}

/// Frames to start from, and a stream that was cut.
enum Frames {
    static let headers = [
        FrameHeader(type: .hello, bodyLength: 19), FrameHeader(type: .request, kind: 33, request: 7, bodyLength: 40, payloadLength: 4096),
        FrameHeader(type: .reply, request: 7, bodyLength: 0), FrameHeader(type: .error, request: 9, bodyLength: 10),
        FrameHeader(type: .goodbye, bodyLength: 12),
    ]

    static func encode(_ header: FrameHeader) -> [UInt8] {
        var writer = ByteWriter()
        header.encode(to: &writer)
        return writer.bytes
    }

    static func frame(
        _ type: FrameType, kind: RequestKind? = nil, request: UInt64 = 0, body: [UInt8] = [], payload: [UInt8] = []
    ) -> [UInt8] {
        let header = FrameHeader(
            type: type, kind: kind?.rawValue ?? 0, request: request, bodyLength: body.count, payloadLength: payload.count)
        return encode(header) + body + payload
    }

    static let hello = frame(.hello, body: Hello(cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 2), role: .node).encoded)
    static let failure = frame(.error, request: 1, body: WireFailure(code: 1, cause: "no").encoded)
    static let goodbye = frame(.goodbye, body: WireFailure(code: 1, cause: "bye").encoded)

    fileprivate static let streams: [[UInt8]] = [
        [255] + hello + frame(.request, kind: .probe, request: 1, body: [0]) + goodbye,
        [6] + frame(.request, kind: .blockPut, request: 1, body: [1, 2, 3], payload: Array(repeating: 9, count: 300)) + failure,
        [0] + frame(.reply, request: 1, body: [4]) + frame(.reply, request: 2, payload: [5, 6]),
    ]

    /// What a receiver makes of `bytes`, in words.
    @LoopActor
    fileprivate static func receive(_ bytes: [UInt8], fragment: Int) -> [String] {
        let receiver = FrameReceiver(ScriptedStream(bytes, fragment: fragment))
        receiver.bodyMax = FrameHeader.bodyMax
        receiver.payloadMax = FrameHeader.payloadMax
        var seen: [String] = []
        while true {
            switch receiver.next() {
            case .frame(let frame): seen.append("\(frame.header) \(frame.body) \(frame.payload?.array ?? [])")
            case .wouldBlock: continue
            case .ended: return seen + ["ended"]
            case .nonsense(let reason): return seen + [reason]
            }
        }
    }
}

/// A stream that gives bytes in pieces and then ends.
@LoopActor
private final class ScriptedStream: ByteStream {
    let peer = Peer(role: .node, node: nil, label: "script")
    var onReadable: (@LoopActor () -> Void)?
    var onWritable: (@LoopActor () -> Void)?
    private let bytes: [UInt8]
    private let fragment: Int
    private var place = 0
    private var pause = false

    init(_ bytes: [UInt8], fragment: Int) {
        self.bytes = bytes
        self.fragment = fragment
    }

    func read(into target: UnsafeMutableRawBufferPointer) -> StreamReadOutcome {
        pause.toggle()
        if pause { return .wouldBlock }
        let count = min(fragment, target.count, bytes.count - place)
        guard count > 0 else { return .ended }
        target.copyBytes(from: bytes[place..<place + count])
        place += count
        return .bytes(count)
    }

    func write(_ parts: [UnsafeRawBufferPointer]) -> Int? { parts.reduce(0) { $0 + $1.count } }
    func close() {}
}
