import Bytes
import Glibc
import Runtime
import Wire

/// The outgoing side of a channel: frames in order, small ones side by side in one piece of memory, payloads where they are.
@LoopActor
final class FrameSender {
    private let stream: any ByteStream
    private var queue = Fifo<Slice>()
    /// How much of the first slice is gone.
    private var sentOfFirst = 0
    /// Where small frames are put together; its used part is always the last slices of the queue.
    private var staging: Buffer?
    /// Bytes of all frames so far.
    private(set) var enqueuedTotal: UInt64 = 0
    /// Bytes that the stream took so far.
    private(set) var writtenTotal: UInt64 = 0

    init(_ stream: any ByteStream) { self.stream = stream }

    var isEmpty: Bool { queue.isEmpty }
    /// Bytes that wait for the stream.
    var queuedBytes: UInt64 { enqueuedTotal - writtenTotal }

    /// Queues a frame; `flush` sends it.
    /// - Precondition: body and payload are within the limits of `FrameHeader`.
    func enqueue(_ type: FrameType, kind: UInt16 = 0, request: UInt64 = 0, body: [UInt8], payload: Slice? = nil) {
        let header = FrameHeader(type: type, kind: kind, request: request, bodyLength: body.count, payloadLength: payload?.count ?? 0)
        var writer = ByteWriter(reserving: FrameHeader.size)
        header.encode(to: &writer)
        append(writer.bytes)
        append(body)
        enqueuedTotal += UInt64(writer.count + body.count)
        if let payload, !payload.isEmpty {
            queue.append(payload)
            enqueuedTotal += UInt64(payload.count)
        }
    }

    /// Writes until the stream is full or nothing is left. False if the stream is broken.
    func flush() -> Bool {
        while !queue.isEmpty {
            var parts: [UnsafeRawBufferPointer] = []
            let count = min(queue.count, Self.partsMax)
            parts.reserveCapacity(count)
            var total = 0
            for index in 0..<count {
                guard let slice = queue[index] else { continue }
                let skipped = index == 0 ? sentOfFirst : 0
                parts.append(UnsafeRawBufferPointer(start: slice.buffer.base + slice.offset + skipped, count: slice.count - skipped))
                total += slice.count - skipped
            }
            // The queue holds the buffers while the stream looks at their memory.
            guard let taken = stream.write(parts) else { return false }
            advance(taken)
            if taken < total { return true }
        }
        return true
    }

    func removeAll() {
        queue.removeAll()
        sentOfFirst = 0
        staging = nil
    }

    private func append(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            if source.count > Self.stagedMax {
                let buffer = BufferPool.shared.buffer(copying: source)
                queue.append(buffer.slice)
                return
            }
            var target = staging ?? BufferPool.shared.buffer(capacity: Self.stagingBytes)
            if target.capacity - target.count < source.count { target = BufferPool.shared.buffer(capacity: Self.stagingBytes) }
            staging = target
            let offset = target.count
            memcpy(target.base + offset, base, source.count)
            target.count += source.count
            if let last = queue.last, last.buffer === target, last.offset + last.count == offset {
                queue.replaceLast(with: Slice(buffer: target, offset: last.offset, count: last.count + source.count))
            } else {
                queue.append(Slice(buffer: target, offset: offset, count: source.count))
            }
        }
    }

    private func advance(_ taken: Int) {
        writtenTotal += UInt64(taken)
        var rest = taken
        while rest > 0, let first = queue.first {
            let left = first.count - sentOfFirst
            if rest < left {
                sentOfFirst += rest
                return
            }
            rest -= left
            sentOfFirst = 0
            queue.popFirst()
        }
        if queue.isEmpty { staging = nil }
    }

    private static let partsMax = 64
    private static let stagingBytes = 16 << 10
    /// Larger bodies get memory of their own.
    private static let stagedMax = 4 << 10
}
