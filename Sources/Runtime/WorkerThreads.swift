import CPosix
import Glibc

/// A few threads of our own for work that blocks or computes long. Idle threads sleep. They end when the last reference goes and what was
/// queued is done.
///
/// The queue holds one entry for each suspended caller, so whoever bounds its tasks bounds the queue.
@LoopActor
package final class WorkerThreads: Workers {
    private nonisolated let queue: WorkQueue

    /// - Parameters:
    ///   - count: number of threads, at least 1.
    ///   - name: for ps and debuggers, at most 15 bytes.
    package init(count: Int, name: String) {
        precondition(count >= 1)
        queue = WorkQueue()
        for _ in 0..<count { queue.startThread(name: name) }
    }

    deinit { queue.stop() }

    package func run<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Result, Never>) in
            queue.add {
                let result = work()
                // Resumed by loop code, the waiting task goes on as loop code, here if nobody has the turn (see GlobalExecutorHook).
                Task { @LoopActor in continuation.resume(returning: result) }
            }
        }
    }

    /// Runs `work` some time, with nobody waiting for it.
    nonisolated func start(_ work: @escaping @Sendable () -> Void) { queue.add(work) }

    /// How many processors this process may use, for choosing `count`.
    package nonisolated static var processors: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}
