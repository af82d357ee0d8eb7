import CPosix
import Glibc
import Telemetry

/// A listening socket. Accepts as long as there are not too many unfinished handshakes.
@LoopActor
final class SocketListener: Listener {
    let endpoint: Endpoint
    private let descriptor: Int32
    private let poll: PollHandle
    private let log: Log
    private var isOpen = true
    private var unfinished = 0
    /// Starts the handshake of an accepted socket; the closure it is given must be called when that is over.
    private let accepted: @LoopActor (_ descriptor: Int32, _ finished: @escaping @LoopActor () -> Void) -> Void

    init(
        descriptor: Int32, endpoint: Endpoint, log: Log,
        accepted: @escaping @LoopActor (_ descriptor: Int32, _ finished: @escaping @LoopActor () -> Void) -> Void
    ) throws(NetworkError) {
        guard let poll = PollHandle(descriptor) else { throw NetworkError(.cannotListen, "\(endpoint): the socket cannot be watched") }
        self.descriptor = descriptor
        self.endpoint = endpoint
        self.poll = poll
        self.log = log
        self.accepted = accepted
        poll.onEvent = { [weak self] _, _ in self?.acceptSome() }
        poll.watch(reads: true, writes: false)
    }

    isolated deinit { close() }

    func close() {
        guard isOpen else { return }
        isOpen = false
        poll.close()
        Glibc.close(descriptor)
        if case .unix(let path) = endpoint { unlink(path) }
    }

    private func acceptSome() {
        // A few at a time: whoever is already connected is not to wait for a crowd at the door.
        for _ in 0..<16 {
            guard isOpen, unfinished < Self.unfinishedMax else { break }
            let socket = CPosix_accept(descriptor)
            if socket < 0 {
                switch errno {
                case EAGAIN, EINTR, ECONNABORTED: return
                default: return pause(String(cString: strerror(errno)))
                }
            }
            unfinished += 1
            accepted(socket) { [weak self] in self?.finishOne() }
        }
        if unfinished >= Self.unfinishedMax { poll.watch(reads: false, writes: false) }
    }

    private func finishOne() {
        unfinished -= 1
        if isOpen { poll.watch(reads: true, writes: false) }
    }

    /// Out of descriptors or memory: the connection stays in the kernel's queue, and asking at once again would only burn time.
    private func pause(_ reason: String) {
        log.warning("cannot accept connections for now", ["endpoint": "\(endpoint)", "reason": reason])
        poll.watch(reads: false, writes: false)
        _ = SystemClock.shared.schedule(after: Nanoseconds.second) { [weak self] in
            guard let self, isOpen else { return }
            poll.watch(reads: true, writes: false)
        }
    }

    private static let unfinishedMax = 256
}
