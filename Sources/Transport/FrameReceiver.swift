import Bytes
import Glibc
import Runtime
import Wire

/// The incoming side of a channel: cuts the stream into frames. Payloads are received where they stay.
@LoopActor
final class FrameReceiver {
    struct Frame {
        var header: FrameHeader
        var body: [UInt8]
        var payload: Slice?
    }

    enum Outcome {
        case frame(Frame)
        case wouldBlock
        case ended
        /// The peer does not keep to the protocol.
        case nonsense(String)
    }

    /// Largest body that is accepted from now on, checked before anything is allocated.
    var bodyMax = FrameHeader.helloBodyMax
    /// Largest payload that is accepted from now on.
    var payloadMax = 0
    /// Bytes received so far.
    private(set) var receivedTotal: UInt64 = 0

    private let stream: any ByteStream
    /// What was read and belongs to no frame yet. Small, because what it holds of a payload has to be copied out.
    private let window: Buffer
    private var windowHead = 0
    private var header: FrameHeader?
    private var body: [UInt8] = []
    private var bodyFilled = 0
    private var payload: Buffer?

    init(_ stream: any ByteStream) {
        self.stream = stream
        window = BufferPool.shared.buffer(capacity: 16 << 10)
    }

    /// The next frame, if all of it is there.
    func next() -> Outcome {
        while true {
            if let header {
                if let outcome = fill(header) { return outcome }
                continue
            }
            if window.count - windowHead >= FrameHeader.size {
                if let reason = startFrame() { return .nonsense(reason) }
            } else if let outcome = refillWindow() {
                return outcome
            }
        }
    }

    /// Decodes a header and makes room for what follows; why not, if it is nonsense.
    private func startFrame() -> String? {
        var reader = ByteReader(UnsafeRawBufferPointer(start: window.base + windowHead, count: FrameHeader.size))
        let header: FrameHeader
        do throws(DecodeError) { header = try FrameHeader(from: &reader) } catch { return "\(error)" }
        guard header.bodyLength <= bodyMax else { return "body of \(header.bodyLength) bytes" }
        guard header.payloadLength <= payloadMax else { return "payload of \(header.payloadLength) bytes" }
        windowHead += FrameHeader.size
        self.header = header
        bodyFilled = 0
        if header.bodyLength <= window.count - windowHead {
            body = Array(UnsafeRawBufferPointer(start: window.base + windowHead, count: header.bodyLength))
            windowHead += header.bodyLength
            bodyFilled = header.bodyLength
        } else {
            body = Array(repeating: 0, count: header.bodyLength)
        }
        payload = header.payloadLength > 0 ? BufferPool.shared.buffer(capacity: header.payloadLength) : nil
        return nil
    }

    /// Goes on with the frame; an outcome if it is complete or has to wait.
    private func fill(_ header: FrameHeader) -> Outcome? {
        if bodyFilled < header.bodyLength {
            let outcome: Outcome? = body.withUnsafeMutableBytes { bytes in
                receive(into: UnsafeMutableRawBufferPointer(rebasing: bytes[bodyFilled...]), filled: &bodyFilled)
            }
            if let outcome { return outcome }
            if bodyFilled < header.bodyLength { return nil }
        }
        if let payload, payload.count < header.payloadLength {
            let rest = UnsafeMutableRawBufferPointer(start: payload.base + payload.count, count: header.payloadLength - payload.count)
            if let outcome = receive(into: rest, filled: &payload.count) { return outcome }
        }
        guard (payload?.count ?? 0) == header.payloadLength else { return nil }
        let frame = Frame(header: header, body: body, payload: payload?.slice)
        self.header = nil
        body = []
        payload = nil
        return .frame(frame)
    }

    /// Takes what the window has, or else reads on straight into the target.
    private func receive(into target: UnsafeMutableRawBufferPointer, filled: inout Int) -> Outcome? {
        let available = min(window.count - windowHead, target.count)
        if available > 0, let base = target.baseAddress {
            memcpy(base, window.base + windowHead, available)
            windowHead += available
            filled += available
            return nil
        }
        switch stream.read(into: target) {
        case .bytes(let count):
            filled += count
            receivedTotal += UInt64(count)
            return nil
        case .wouldBlock: return .wouldBlock
        case .ended: return .ended
        }
    }

    private func refillWindow() -> Outcome? {
        let left = window.count - windowHead
        if left > 0 && windowHead > 0 { memmove(window.base, window.base + windowHead, left) }
        windowHead = 0
        window.count = left
        switch stream.read(into: UnsafeMutableRawBufferPointer(rebasing: window.storage[left...])) {
        case .bytes(let count):
            window.count += count
            receivedTotal += UInt64(count)
            return nil
        case .wouldBlock: return .wouldBlock
        case .ended: return .ended
        }
    }
}
