import Glibc
import Runtime

/// Waits until an invalidation is over, or for some time after it began.
@LoopActor
final class InvalidationWait {
    private var result: Int32?
    private var waiter: UnsafeContinuation<Int32, Never>?
    private var limit: (any TimerHandle)?

    func begin(_ patience: UInt64) {
        guard result == nil else { return }
        limit = SystemClock.shared.schedule(after: patience) { self.end(EINPROGRESS) }
    }

    /// The first one counts.
    func end(_ code: Int32) {
        guard result == nil else { return }
        result = code
        limit?.cancel()
        limit = nil
        waiter?.resume(returning: code)
        waiter = nil
    }

    /// The system's error number, 0 if it went well; EINPROGRESS if it took too long.
    func over() async -> Int32 {
        if let result { return result }
        return await withUnsafeContinuation { waiter = $0 }
    }
}
