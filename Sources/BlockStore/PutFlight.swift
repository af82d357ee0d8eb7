import Runtime

/// A put under way, for others of the same key to wait for.
@LoopActor
final class PutFlight {
    private var waiters: [UnsafeContinuation<Result<Void, BlockStoreError>, Never>] = []

    func wait() async -> Result<Void, BlockStoreError> {
        await withUnsafeContinuation { waiters.append($0) }
    }

    func finish(_ result: Result<Void, BlockStoreError>) {
        for waiter in waiters { waiter.resume(returning: result) }
        waiters = []
    }
}
