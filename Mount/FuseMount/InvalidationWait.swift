import Runtime

/// Waits until an invalidation is over, or for some time after it began.
@LoopActor
final class InvalidationWait {
    private var isOver = false
    private var waiter: UnsafeContinuation<Void, Never>?
    private var limit: (any TimerHandle)?

    func begin(_ patience: UInt64) {
        guard !isOver else { return }
        limit = SystemClock.shared.schedule(after: patience) { self.end() }
    }

    func end() {
        isOver = true
        limit?.cancel()
        limit = nil
        waiter?.resume()
        waiter = nil
    }

    func over() async {
        if isOver { return }
        await withUnsafeContinuation { waiter = $0 }
    }
}
