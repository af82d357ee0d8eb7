import Bytes
import CPosix
package import CUV
import Glibc

/// A libuv loop on a thread of its own, and the executor of `LoopActor`.
///
/// Jobs enqueued on the loop's thread run before the loop waits again; jobs from other threads wake it once
/// (`uv_async_send` joins wake-ups).
///
/// Sendable without checking: `local` is touched by the loop's thread only, `foreign` is behind `lock`.
package final class EventLoop: SerialExecutor, @unchecked Sendable {
    /// The loop of the process, started by the first use.
    package static let shared = EventLoop()

    /// The libuv loop, for handles. Only on the loop's thread.
    package let uv: UnsafeMutablePointer<uv_loop_t>
    private let wakeup: UnsafeMutablePointer<uv_async_t>
    private let beforeWait: UnsafeMutablePointer<uv_prepare_t>
    private let lock = Lock()
    private var foreign: [UnownedJob] = []
    private var local: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var thread = pthread_t()

    private init() {
        uv = .allocate(capacity: 1)
        wakeup = .allocate(capacity: 1)
        beforeWait = .allocate(capacity: 1)
        guard uv_loop_init(uv) == 0, uv_prepare_init(uv, beforeWait) == 0,
            uv_async_init(
                uv, wakeup,
                { handle in
                    guard let handle else { return }
                    EventLoop.from(handle.pointee.data).runJobs()
                }) == 0
        else { fatalError("cannot make an event loop: \(String(cString: strerror(errno)))") }
        let this = Unmanaged.passUnretained(self).toOpaque()
        wakeup.pointee.data = this
        beforeWait.pointee.data = this
        uv_prepare_start(beforeWait) { handle in
            guard let handle else { return }
            EventLoop.from(handle.pointee.data).runJobs()
        }
        // Held until the thread has noted itself, so that nothing asks `isIsolatingCurrentContext` before.
        let ready = Semaphore()
        start(ready)
        ready.wait()
        GlobalExecutorHook.install()
    }

    private func start(_ ready: Semaphore) {
        let box = Unmanaged.passRetained(ThreadBox(loop: self, ready: ready))
        var identifier = pthread_t()
        let created = pthread_create(
            &identifier, nil,
            { argument in
                guard let argument else { return nil }
                let box = Unmanaged<ThreadBox>.fromOpaque(argument).takeRetainedValue()
                CPosix_name_thread("loop")
                box.loop.thread = pthread_self()
                box.ready.signal()
                uv_run(box.loop.uv, UV_RUN_DEFAULT)
                return nil
            }, box.toOpaque())
        guard created == 0 else { fatalError("cannot start a thread: \(String(cString: strerror(created)))") }
        pthread_detach(identifier)
    }

    private static func from(_ data: UnsafeMutableRawPointer?) -> EventLoop {
        guard let data else { preconditionFailure("a loop's handle carries the loop") }
        return Unmanaged<EventLoop>.fromOpaque(data).takeUnretainedValue()
    }

    /// Whether the caller is on the loop's thread.
    package var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }

    package func enqueue(_ job: consuming ExecutorJob) { add(UnownedJob(job)) }

    /// Queues a job behind those before it. Any thread.
    func add(_ job: UnownedJob) {
        if isCurrent {
            local.append(job)
            return
        }
        let first = lock.withLock {
            foreign.append(job)
            return foreign.count == 1
        }
        if first { uv_async_send(wakeup) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() { precondition(isCurrent, "not on the loop's thread") }

    package func isIsolatingCurrentContext() -> Bool? { isCurrent }

    /// Runs what is queued, and what that queues, until nothing is left.
    private func runJobs() {
        while true {
            lock.withLock {
                if !foreign.isEmpty {
                    local.append(contentsOf: foreign)
                    foreign.removeAll(keepingCapacity: true)
                }
            }
            if local.isEmpty { return }
            swap(&local, &running)
            for job in running { job.runSynchronously(on: asUnownedSerialExecutor()) }
            running.removeAll(keepingCapacity: true)
        }
    }
}

/// What a new loop thread is given.
private final class ThreadBox {
    let loop: EventLoop
    let ready: Semaphore

    init(loop: EventLoop, ready: Semaphore) {
        self.loop = loop
        self.ready = ready
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
