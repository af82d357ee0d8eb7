import Bytes
import Glibc
import Model
import Runtime

/// Threads that tell the kernel to drop pages. Such a call waits for reads of the pages that are under way, and these may wait for
/// the cluster: so neither the loop nor a FUSE thread makes it, and one that waits does not hold up the others.
///
/// Sendable without checking: all mutable state is behind `lock`.
final class Notifier: @unchecked Sendable {
    private static let threads = 4

    private struct Job {
        var inode: InodeID
        var channel: NotificationChannel
        var continuation: UnsafeContinuation<Int32, Never>
    }

    private let lock = Lock()
    private let work = Semaphore()
    /// One for each caller that waits.
    private var jobs: [Job] = []
    private var closed = false

    /// Returns the system's error number, 0 if the threads run. They hold the notifier until it is closed.
    func start() -> Int32 {
        for _ in 0..<Self.threads {
            let code = SystemThread.start("fuse notify") { [self] in run() }
            if code != 0 { return code }
        }
        return 0
    }

    /// Returns when the kernel is done, with the system's error number.
    func invalidate(_ inode: InodeID, _ channel: NotificationChannel) async -> Int32 {
        await withUnsafeContinuation { continuation in
            let accepted = lock.withLock {
                if closed { return false }
                jobs.append(Job(inode: inode, channel: channel, continuation: continuation))
                return true
            }
            if accepted { work.signal() } else { continuation.resume(returning: ENODEV) }
        }
    }

    func close() {
        let dropped = lock.withLock {
            closed = true
            defer { jobs = [] }
            return jobs
        }
        for job in dropped { job.continuation.resume(returning: ENODEV) }
        for _ in 0..<Self.threads { work.signal() }
    }

    private func run() {
        while true {
            work.wait()
            let (job, ended) = lock.withLock { (jobs.isEmpty ? nil : jobs.removeFirst(), closed) }
            if let job {
                job.continuation.resume(returning: job.channel.invalidate(job.inode))
            } else if ended {
                return
            }
        }
    }
}
