import Bytes
import Glibc
import Model

/// A connected socket after authentication, with or without TLS.
@LoopActor
final class SocketStream: ByteStream {
    let peer: Peer
    private let descriptor: Int32
    private let poll: PollHandle
    private let tls: TLSSession?
    private var isOpen = true
    private var writerWaits = false
    /// The last read got less than it asked for: the socket is empty, and asking again would cost a system call to hear so.
    private var isDrained = false
    private var againQueued = false

    var onReadable: (@LoopActor () -> Void)? {
        didSet {
            watch()
            // What TLS has decrypted already raises no event.
            if onReadable != nil { runAgainLater() }
        }
    }
    var onWritable: (@LoopActor () -> Void)?

    /// Takes over the descriptor and its poll handle.
    init(descriptor: Int32, poll: PollHandle, tls: TLSSession?, peer: Peer) {
        self.descriptor = descriptor
        self.poll = poll
        self.tls = tls
        self.peer = peer
        poll.onEvent = { [weak self] readable, writable in self?.handle(readable: readable, writable: writable) }
        watch()
    }

    isolated deinit { close() }

    func read(into target: UnsafeMutableRawBufferPointer) -> StreamReadOutcome {
        guard isOpen, target.count > 0 else { return isOpen ? .wouldBlock : .ended }
        if let tls { return tls.read(into: target) }
        if isDrained {
            isDrained = false
            return .wouldBlock
        }
        let count = retryingInterrupts { recv(descriptor, target.baseAddress, target.count, 0) }
        if count > 0 {
            isDrained = count < target.count
            return .bytes(count)
        }
        return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? .wouldBlock : .ended
    }

    func write(_ parts: [UnsafeRawBufferPointer]) -> Int? {
        guard isOpen else { return nil }
        let total = parts.reduce(0) { $0 + $1.count }
        guard let taken = tls.map({ $0.write(parts) }) ?? writePlain(parts, total: total) else { return nil }
        if taken < total { writerWaits = true }
        watch()
        return taken
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        tls?.close()
        poll.close()
        Glibc.close(descriptor)
        onReadable = nil
        onWritable = nil
    }

    private func handle(readable: Bool, writable: Bool) {
        guard isOpen else { return }
        if writable && (writerWaits || tls?.hasUnsent == true) {
            // A broken session shows in the next write or read.
            if let tls, tls.hasUnsent { _ = tls.write([]) }
            if tls?.hasUnsent != true && writerWaits {
                writerWaits = false
                onWritable?()
            }
        }
        guard isOpen else { return }
        if readable {
            isDrained = false
            onReadable?()
            runAgainLater()
        }
        watch()
    }

    /// A reader that stopped before the end of what TLS holds is called again after the others had their turn; for a plain socket the
    /// poll does that.
    private func runAgainLater() {
        guard isOpen, onReadable != nil, let tls, !tls.isDrained, !againQueued else { return }
        againQueued = true
        NextTurn.shared.run { [weak self] in
            guard let self else { return }
            againQueued = false
            guard isOpen, let onReadable else { return }
            onReadable()
            runAgainLater()
        }
    }

    private func watch() {
        guard isOpen else { return }
        poll.watch(reads: onReadable != nil, writes: writerWaits || tls?.hasUnsent == true)
    }

    private func writePlain(_ parts: [UnsafeRawBufferPointer], total: Int) -> Int? {
        var vectors = parts.map { iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) }
        var first = 0
        var taken = 0
        while taken < total {
            let count = vectors.withUnsafeBufferPointer { all in
                retryingInterrupts { writev(descriptor, all.baseAddress.map { $0 + first }, Int32(min(all.count - first, 1024))) }
            }
            if count < 0 { return errno == EAGAIN || errno == EWOULDBLOCK ? taken : nil }
            taken += count
            var rest = count
            while first < vectors.count, vectors[first].iov_len <= rest {
                rest -= vectors[first].iov_len
                first += 1
            }
            if rest > 0 {
                vectors[first].iov_base = vectors[first].iov_base.map { $0 + rest }
                vectors[first].iov_len -= rest
            }
        }
        return taken
    }
}
