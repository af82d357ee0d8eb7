import Glibc

/// A pthread mutex, adaptive: it spins briefly before it sleeps. For state on which threads contend; it is never held
/// across a suspension, a system call that can wait, or a reply.
///
/// `Synchronization.Mutex` is a priority-inheritance futex on Linux in Swift 6.3 and far slower under contention.
///
/// Sendable without checking: a pthread mutex is made for sharing; its address never changes because it is allocated.
@usableFromInline
package final class Lock: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    package init() {
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        pthread_mutexattr_settype(&attributes, CInt(PTHREAD_MUTEX_ADAPTIVE_NP))
        pthread_mutex_init(mutex, &attributes)
        pthread_mutexattr_destroy(&attributes)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` while holding the lock. Not recursive.
    @inlinable
    package func withLock<Result: ~Copyable, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        lock()
        defer { unlock() }
        return try body()
    }

    @usableFromInline package func lock() { pthread_mutex_lock(mutex) }
    @usableFromInline package func unlock() { pthread_mutex_unlock(mutex) }
}
