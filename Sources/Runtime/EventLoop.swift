import Bytes
import CPosix
package import CUV
import Glibc
import Synchronization

/// A libuv loop, and the executor of `LoopActor`.
///
/// The loop has a thread that waits for descriptors. But whoever has the *turn* may run loop code, and a thread that enqueues a job while nobody has
/// it takes the turn and runs the job itself: a FUSE thread answers from memory, and a disk thread goes on with what waited for its sync, without
/// waking another thread. At any time one thread has the turn, so to loop code it is as if there were one thread.
///
/// Jobs run in the order in which they were enqueued. The loop's thread holds the turn while it calls libuv and gives it back to wait; libuv's state
/// is only touched under the turn. A change of watched descriptors by another thread wakes the loop's thread (`noteWatchesChanged`).
///
/// Sendable without checking: `foreign` is behind `lock`; everything else mutable is touched only with the turn.
package final class EventLoop: SerialExecutor, @unchecked Sendable {
    /// The loop of the process, started by the first use.
    package static let shared = EventLoop()

    /// The libuv loop, for handles. Only with the turn.
    package let uv: UnsafeMutablePointer<uv_loop_t>
    private let wakeup: UnsafeMutablePointer<uv_async_t>
    /// Held by whoever has the turn.
    private let turn: UnsafeMutablePointer<pthread_mutex_t>
    /// The thread that has the turn; 0 for none.
    private let owner = Atomic<UInt>(0)
    /// The loop's thread waits for the turn: others only queue, so that descriptors are not starved.
    private let isClaimed = Atomic<Bool>(false)
    private let lock = Lock()
    private var foreign: [UnownedJob] = []
    private var local: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var watchesChanged = false
    /// Of `running`, not begun.
    private var unbegun = 0

    /// Another thread than the loop's leaves the rest to it after so many jobs.
    private static let visitorJobsMax = 256

    private init() {
        uv = .allocate(capacity: 1)
        wakeup = .allocate(capacity: 1)
        turn = .allocate(capacity: 1)
        pthread_mutex_init(turn, nil)
        // The wake-up itself does nothing: jobs run after every round of the loop.
        guard uv_loop_init(uv) == 0, uv_async_init(uv, wakeup, { _ in }) == 0 else {
            fatalError("cannot make an event loop: \(String(cString: strerror(errno)))")
        }
        start()
        GlobalExecutorHook.install()
    }

    private func start() {
        let this = Unmanaged.passRetained(self)
        var identifier = pthread_t()
        let created = pthread_create(
            &identifier, nil,
            { argument in
                guard let argument else { return nil }
                CPosix_name_thread("loop")
                Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, this.toOpaque())
        guard created == 0 else { fatalError("cannot start a thread: \(String(cString: strerror(created)))") }
        pthread_detach(identifier)
    }

    /// The loop's thread: rounds of libuv and jobs with the turn, waiting without it.
    private func run() {
        var watched = pollfd(fd: uv_backend_fd(uv), events: Int16(POLLIN), revents: 0)
        while true {
            isClaimed.store(true, ordering: .relaxed)
            pthread_mutex_lock(turn)
            isClaimed.store(false, ordering: .relaxed)
            owner.store(Self.thisThread, ordering: .relaxed)
            repeat {
                watchesChanged = false
                uv_run(uv, UV_RUN_NOWAIT)
                _ = runJobs(limit: .max)
            } while watchesChanged
            let timeout = uv_backend_timeout(uv)
            giveUpTurn()
            // What came since is run by whoever enqueued it, or, if that one saw the turn taken, here.
            if hasForeignJobs { continue }
            poll(&watched, 1, timeout)
        }
    }

    private static var thisThread: UInt { UInt(pthread_self()) }

    /// Whether the caller has the turn.
    package var isCurrent: Bool { owner.load(ordering: .relaxed) == Self.thisThread }

    package func enqueue(_ job: consuming ExecutorJob) { add(UnownedJob(job)) }

    /// Queues a job behind those before it, and runs it if nobody else is running any. Any thread.
    func add(_ job: UnownedJob) {
        if isCurrent {
            local.append(job)
            return
        }
        lock.withLock { foreign.append(job) }
        if CPosix_thread_flag() != 0 { uv_async_send(wakeup) } else { visit() }
    }

    /// Calls `body`, whose jobs are only queued for another thread to run: for a caller that holds a lock which loop code may take.
    package static func queueingOnly(_ body: () -> Void) {
        CPosix_set_thread_flag(1)
        body()
        CPosix_set_thread_flag(0)
    }

    /// libuv was told something that it notices only in its next round. With the turn.
    func noteWatchesChanged() { watchesChanged = true }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    /// Whether the calling thread has the turn, and will run further jobs behind the one that calls.
    package var hasQueuedJobs: Bool { isCurrent && (unbegun > 0 || !local.isEmpty) }

    package func checkIsolated() { precondition(isCurrent, "not on the loop") }

    package func isIsolatingCurrentContext() -> Bool? { isCurrent }

    private var hasForeignJobs: Bool { lock.withLock { !foreign.isEmpty } }

    private func giveUpTurn() {
        owner.store(0, ordering: .relaxed)
        pthread_mutex_unlock(turn)
    }

    /// Runs queued jobs on this thread unless another one has the turn. That one looks at the queue once more after it has given the turn back, so a
    /// job queued before is never left lying.
    private func visit() {
        while true {
            if isClaimed.load(ordering: .relaxed) {
                uv_async_send(wakeup)
                return
            }
            guard pthread_mutex_trylock(turn) == 0 else { return }
            owner.store(Self.thisThread, ordering: .relaxed)
            let isDone = runJobs(limit: Self.visitorJobsMax)
            let mustWake = watchesChanged || !isDone
            giveUpTurn()
            if mustWake { uv_async_send(wakeup) }
            if !isDone || !hasForeignJobs { return }
        }
    }

    /// Runs what is queued, and what that queues, until nothing is left or `limit` jobs were run. With the turn.
    /// - Returns: whether nothing is left.
    private func runJobs(limit: Int) -> Bool {
        var count = 0
        while true {
            lock.withLock {
                if !foreign.isEmpty {
                    local.append(contentsOf: foreign)
                    foreign.removeAll(keepingCapacity: true)
                }
            }
            if local.isEmpty { return true }
            if count >= limit { return false }
            swap(&local, &running)
            count += running.count
            unbegun = running.count
            for job in running {
                unbegun -= 1
                job.runSynchronously(on: asUnownedSerialExecutor())
            }
            running.removeAll(keepingCapacity: true)
        }
    }
}

/// A POSIX semaphore (sem_overview(7)), so that nothing here needs libdispatch.
///
/// Sendable without checking: sem_t is made for sharing; its address is fixed.
package final class Semaphore: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    package init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    package func signal() { sem_post(semaphore) }

    package func wait() { while sem_wait(semaphore) != 0 && errno == EINTR {} }
}
