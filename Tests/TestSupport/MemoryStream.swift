import Glibc
import Model
import Runtime

/// One end of a stream between two machines in memory.
@LoopActor
final class MemoryStream: ByteStream {
    let peer: Peer
    let link: Link
    private let fabric: MemoryFabric
    var other: MemoryStream?
    /// What arrived and was not read.
    private var inbox: [UInt8] = []
    private var inboxHead = 0
    /// What the other end wrote and has not arrived; nil is the end of the stream.
    private var underWay: [[UInt8]?] = []
    private var bytesUnderWay = 0
    /// Arrivals that a cut link held up.
    private var heldUp = 0
    private var ended = false
    private var endNotified = false
    private var closed = false
    private var notificationQueued = false
    private var writerWaits = false

    var onReadable: (@LoopActor () -> Void)? { didSet { notifyLater() } }
    var onWritable: (@LoopActor () -> Void)?

    init(fabric: MemoryFabric, link: Link, peer: Peer) {
        self.fabric = fabric
        self.link = link
        self.peer = peer
    }

    func read(into target: UnsafeMutableRawBufferPointer) -> StreamReadOutcome {
        let available = min(inbox.count - inboxHead, target.count, fabric.fragment)
        guard !closed, available > 0 else { return ended || closed ? .ended : .wouldBlock }
        inbox.withUnsafeBytes { source in
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[inboxHead..<inboxHead + available]))
        }
        inboxHead += available
        if inboxHead == inbox.count {
            inbox.removeAll(keepingCapacity: true)
            inboxHead = 0
        }
        if let other, other.writerWaits {
            other.writerWaits = false
            Task { @LoopActor in if !other.closed { other.onWritable?() } }
        }
        return .bytes(available)
    }

    func write(_ parts: [UnsafeRawBufferPointer]) -> Int? {
        guard !closed, !ended, let other, !other.closed else { return nil }
        let held = other.inbox.count - other.inboxHead + other.bytesUnderWay
        let room = min(max(0, fabric.capacity - held), fabric.fragment)
        var chunk: [UInt8] = []
        for part in parts where chunk.count < room { chunk.append(contentsOf: part.prefix(room - chunk.count)) }
        let total = parts.reduce(0) { $0 + $1.count }
        if chunk.count < total {
            if room > 0 && chunk.count == fabric.fragment {
                Task { @LoopActor in if !self.closed { self.onWritable?() } }
            } else {
                writerWaits = true
            }
        }
        if !chunk.isEmpty { other.send(chunk) }
        return chunk.count
    }

    func close() {
        guard !closed else { return }
        closed = true
        onReadable = nil
        onWritable = nil
        other?.send(nil)
        other = nil
    }

    /// Ends the stream at once, for both ends, with whatever was under way lost.
    func breakNow() {
        underWay.removeAll()
        bytesUnderWay = 0
        heldUp = 0
        ended = true
        notifyLater()
    }

    func linkChanged() {
        guard !fabric.isCut(link) else { return }
        let count = heldUp
        heldUp = 0
        for _ in 0..<count { arrive() }
    }

    private func send(_ chunk: [UInt8]?) {
        guard !ended else { return }
        underWay.append(chunk)
        bytesUnderWay += chunk?.count ?? 0
        if fabric.latency == 0 {
            Task { @LoopActor in self.arrive() }
        } else {
            _ = fabric.clock.schedule(after: fabric.latency) { self.arrive() }
        }
    }

    private func arrive() {
        guard !underWay.isEmpty else { return }
        // What is held up arrives first, in order.
        if fabric.isCut(link) || heldUp > 0 {
            heldUp += 1
            return
        }
        if let chunk = underWay.removeFirst() {
            bytesUnderWay -= chunk.count
            inbox.append(contentsOf: chunk)
        } else {
            ended = true
        }
        notifyLater()
    }

    private func notifyLater() {
        guard !notificationQueued, !closed, onReadable != nil, hasNews else { return }
        notificationQueued = true
        Task { @LoopActor in
            self.notificationQueued = false
            guard !self.closed, self.hasNews else { return }
            if self.inbox.count == self.inboxHead { self.endNotified = true }
            self.onReadable?()
            self.notifyLater()
        }
    }

    private var hasNews: Bool { inbox.count > inboxHead || (ended && !endNotified) }
}
