import Bytes
import Glibc
import Runtime

/// Threads that tell the kernel to drop what it caches of an inode. Such a call may wait for reads that are under way, and these for the cluster: so
/// neither the loop nor a FUSE thread makes it, and there are as many threads as there are calls that wait.
///
/// Sendable without checking: all mutable state is behind `lock`.
final class Notifier: @unchecked Sendable {
    /// Threads that are kept while there is nothing to do.
    private static let idleThreads = 4
    /// More calls than this wait for each other. One that waits belongs to a read that the kernel sent us, so this is far above what happens.
    private static let threadsMax = 512

    private struct Job {
        var call: @Sendable () -> Int32
        /// Called twice, on the notifier's thread: when the call begins, with nil, and when it is over, with its result.
        var report: @Sendable (Int32?) -> Void
    }

    private let lock = Lock()
    private let work = Semaphore()
    private var jobs: [Job] = []
    private var threads = 0
    private var idle = 0
    private var closed = false

    /// Returns the system's error number, 0 if the notifier runs. Its threads hold it until it is closed.
    func start() -> Int32 {
        for _ in 0..<Self.idleThreads {
            let code = addThread()
            if code != 0 { return code }
        }
        return 0
    }

    private func addThread() -> Int32 {
        lock.withLock { threads += 1 }
        let code = SystemThread.start("fuse notify") { [self] in serve() }
        if code != 0 { lock.withLock { threads -= 1 } }
        return code
    }

    func run(_ call: @escaping @Sendable () -> Int32, _ report: @escaping @Sendable (Int32?) -> Void) {
        let (accepted, isShort) = lock.withLock {
            if closed { return (false, false) }
            jobs.append(Job(call: call, report: report))
            return (true, jobs.count > idle && threads < Self.threadsMax)
        }
        guard accepted else { return report(ENODEV) }
        // If there can be no more threads, one that is there comes back to it.
        if isShort { _ = addThread() }
        work.signal()
    }

    func close() {
        let (dropped, waiting) = lock.withLock {
            closed = true
            defer { jobs = [] }
            return (jobs, threads)
        }
        for job in dropped { job.report(ENODEV) }
        for _ in 0..<waiting { work.signal() }
    }

    private func serve() {
        while true {
            lock.withLock { idle += 1 }
            work.wait()
            let (job, isOver) = lock.withLock { () -> (Job?, Bool) in
                idle -= 1
                let job = jobs.isEmpty ? nil : jobs.removeFirst()
                return (job, closed)
            }
            if let job {
                job.report(nil)
                job.report(job.call())
            }
            let isSpare = lock.withLock {
                if isOver || (jobs.isEmpty && idle >= Self.idleThreads) {
                    threads -= 1
                    return true
                }
                return false
            }
            if isSpare { return }
        }
    }
}
