import Runtime

/// A lock that waits without holding up the loop. First come, first served.
@LoopActor
final class AsyncLock {
    private var held = false
    private var waiters: [UnsafeContinuation<Void, Never>] = []

    func lock() async {
        if tryLock() { return }
        await withUnsafeContinuation { waiters.append($0) }
    }

    func tryLock() -> Bool {
        if held { return false }
        held = true
        return true
    }

    /// Hands the lock to the one who waits longest.
    func unlock() {
        if waiters.isEmpty {
            held = false
        } else {
            waiters.removeFirst().resume()
        }
    }

    var isHeld: Bool { held }
}
