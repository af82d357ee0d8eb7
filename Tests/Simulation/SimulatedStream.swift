import Model
import Runtime
import TestSupport

/// One end of a stream: what the other end wrote travels to it over the link `ends`.
@LoopActor
final class SimulatedStream: ByteStream {
    let peer: Peer
    /// From the other end's machine to this one's.
    let ends: LinkEnds
    private let network: SimulatedNetwork
    private let process: SimulatedProcess
    /// Cleared when this end is closed.
    var other: SimulatedStream?

    /// What arrived and was not read.
    private var inbox: [UInt8] = []
    private var inboxHead = 0
    /// What was written and has not arrived, in order; nil is the end of the stream.
    private var underWay: [[UInt8]?] = []
    private var underWayHead = 0
    private var bytesUnderWay = 0
    /// No piece arrives before the one in front of it.
    private var lastArrival: UInt64 = 0
    /// Arrivals that a cut link held up.
    private var heldUp = 0
    private var ended = false
    private var endNotified = false
    private var closed = false
    private var notificationQueued = false
    private var writerWaits = false

    var onReadable: (@LoopActor () -> Void)? { didSet { notifyLater() } }
    var onWritable: (@LoopActor () -> Void)?

    init(_ network: SimulatedNetwork, _ process: SimulatedProcess, _ ends: LinkEnds, peer: Peer) {
        self.network = network
        self.process = process
        self.ends = ends
        self.peer = peer
        process.onDeath { [weak self] in self?.close() }
    }

    /// Nothing will come of it any more.
    var isOver: Bool { closed || ended }

    func read(into target: UnsafeMutableRawBufferPointer) -> StreamReadOutcome {
        let available = min(inbox.count - inboxHead, target.count)
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
            _ = network.time.schedule(after: network.travelTime(other.ends)) { [weak other] in
                guard let other else { return }
                other.process.deliver { if !other.closed { other.onWritable?() } }
            }
        }
        return .bytes(available)
    }

    func write(_ parts: [UnsafeRawBufferPointer]) -> Int? {
        guard !closed, !ended, !process.isDead, let other else { return nil }
        let held = other.inbox.count - other.inboxHead + other.bytesUnderWay
        let room = max(0, network.window - held)
        var chunk: [UInt8] = []
        for part in parts where chunk.count < room { chunk.append(contentsOf: part.prefix(room - chunk.count)) }
        if chunk.count < parts.reduce(0, { $0 + $1.count }) { writerWaits = true }
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

    /// Both ends see the stream end; of what is under way any part arrives first.
    func reset() {
        other?.breakNow()
        breakNow()
    }

    /// This end is gone without a word; the other end goes on as if it were there.
    func vanish() {
        closed = true
        onReadable = nil
        onWritable = nil
        other?.loseMate()
    }

    private func loseMate() {
        underWay.removeAll()
        underWayHead = 0
        bytesUnderWay = 0
        heldUp = 0
    }

    /// The machine at one end does not know the stream any more.
    func forgotten(by machine: String) {
        if ends.source == machine, !isOver { _ = network.time.schedule(after: network.travelTime(ends)) { [weak self] in self?.breakNow() } }
    }

    func linkChanged() {
        guard heldUp > 0, !network.condition(ends).isCut else { return }
        let count = heldUp
        heldUp = 0
        for _ in 0..<count { plan(after: LinkCondition.retransmission, bytes: 0) }
    }

    private func breakNow() {
        guard !ended else { return }
        if underWayHead < underWay.count, let piece = underWay[underWayHead], !network.condition(ends).isCut {
            inbox.append(contentsOf: piece.prefix(network.random.below(piece.count + 1)))
        }
        underWay.removeAll()
        underWayHead = 0
        bytesUnderWay = 0
        heldUp = 0
        ended = true
        notifyLater()
    }

    private func send(_ chunk: [UInt8]?) {
        guard !ended else { return }
        underWay.append(chunk)
        bytesUnderWay += chunk?.count ?? 0
        plan(after: 0, bytes: chunk?.count ?? 0)
    }

    private func plan(after extra: UInt64, bytes: Int) {
        let arrival = max(lastArrival, network.time.now + network.travelTime(ends, bytes: bytes) + extra)
        lastArrival = arrival
        _ = network.time.schedule(after: arrival - network.time.now) { [weak self] in self?.arrive() }
    }

    private func arrive() {
        guard underWayHead < underWay.count else { return }
        if network.condition(ends).isCut || heldUp > 0 {
            heldUp += 1
            return
        }
        if let chunk = underWay[underWayHead] {
            bytesUnderWay -= chunk.count
            if !closed { inbox.append(contentsOf: chunk) }
        } else {
            ended = true
        }
        underWayHead += 1
        if underWayHead == underWay.count {
            underWay.removeAll(keepingCapacity: true)
            underWayHead = 0
        }
        notifyLater()
    }

    private func notifyLater() {
        guard !notificationQueued, !closed, onReadable != nil, hasNews else { return }
        notificationQueued = true
        Task { @LoopActor in
            self.process.deliver {
                self.notificationQueued = false
                guard !self.closed, self.hasNews else { return }
                if self.inbox.count == self.inboxHead { self.endNotified = true }
                self.onReadable?()
                self.notifyLater()
            }
        }
    }

    private var hasNews: Bool { inbox.count > inboxHead || (ended && !endNotified) }
}
