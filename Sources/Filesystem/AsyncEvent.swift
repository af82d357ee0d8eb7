import Runtime

/// Something that happens once; any number may wait for it.
@LoopActor
final class AsyncEvent {
    private var happened = false
    private var waiters: [UnsafeContinuation<Void, Never>] = []

    func wait() async {
        if happened { return }
        await withUnsafeContinuation { waiters.append($0) }
    }

    func happen() {
        happened = true
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
    }
}
