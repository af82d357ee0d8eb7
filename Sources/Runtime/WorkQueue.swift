import CPosix
import Glibc

/// What worker threads wait on: a queue, a mutex and a condition variable.
///
/// Sendable without checking: `pending`, `head`, `idle` and `stopped` are touched only with `mutex` held.
final class WorkQueue: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var pending: [(@Sendable () -> Void)?] = []
    private var head = 0
    private var idle = 0
    private var stopped = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func add(_ work: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(mutex)
        pending.append(work)
        let mustWake = idle > 0
        pthread_mutex_unlock(mutex)
        // After the unlock, so that the thread does not wake to wait for the mutex.
        if mustWake { pthread_cond_signal(condition) }
    }

    /// Lets the threads end when the queue is empty.
    func stop() {
        pthread_mutex_lock(mutex)
        stopped = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    func startThread(name: String) {
        let start = Unmanaged.passRetained(WorkerStart(queue: self, name: name))
        var identifier = pthread_t()
        let error = pthread_create(
            &identifier, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<WorkerStart>.fromOpaque(argument).takeRetainedValue()
                CPosix_name_thread(start.name)
                start.queue.work()
                return nil
            }, start.toOpaque())
        guard error == 0 else { fatalError("cannot start a thread: \(String(cString: strerror(error)))") }
        pthread_detach(identifier)
    }

    private func work() {
        while let next = take() { next() }
    }

    /// Waits for work; nil when there is none and there will be none.
    private func take() -> (@Sendable () -> Void)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while head == pending.count {
            if stopped { return nil }
            idle += 1
            pthread_cond_wait(condition, mutex)
            idle -= 1
        }
        let next = pending[head]
        pending[head] = nil
        head += 1
        if head == pending.count || head >= 1024 {
            pending.removeFirst(head)
            head = 0
        }
        return next
    }
}

/// What a new worker thread is given.
private final class WorkerStart {
    let queue: WorkQueue
    let name: String

    init(queue: WorkQueue, name: String) {
        self.queue = queue
        self.name = name
    }
}
