import Bytes
import Glibc
import Runtime

/// Requests whose caller got a signal that did not ask to stop. The kernel tells of a request's first signal only, so whether a later one
/// asks to stop has to be looked up: five times a second, while there are any.
///
/// Sendable without checking: all mutable state is behind `lock`.
final class InterruptWatch: @unchecked Sendable {
    private let lock = Lock()
    private let work = Semaphore()
    private var requests: [FuseRequest] = []
    private var closed = false

    /// Returns the system's error number, 0 if the watch runs. It holds itself until it is closed.
    func start() -> Int32 { SystemThread.start("fuse interrupt") { [self] in run() } }

    func add(_ request: FuseRequest) {
        lock.withLock { requests.append(request) }
        work.signal()
    }

    func close() {
        lock.withLock { closed = true }
        work.signal()
    }

    private func run() {
        while true {
            let (waiting, ended) = lock.withLock {
                requests.removeAll { $0.isAnswered }
                return (requests, closed)
            }
            if ended {
                lock.withLock { requests = [] }
                return
            }
            if waiting.isEmpty {
                work.wait()
                continue
            }
            usleep(200_000)
            for request in waiting { request.applySignals() }
        }
    }
}
