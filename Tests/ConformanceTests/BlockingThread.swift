import Glibc

/// Threads for what waits for the loop: the pool of Swift's tasks must not be blocked, and users are changed for a thread that ends afterwards.
enum BlockingThread {
    private final class Job {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withUnsafeContinuation { continuation in
            let job = Unmanaged.passRetained(Job { continuation.resume(returning: body()) })
            var thread = pthread_t()
            let code = pthread_create(
                &thread, nil,
                { pointer in
                    if let pointer { Unmanaged<Job>.fromOpaque(pointer).takeRetainedValue().body() }
                    return nil
                }, job.toOpaque())
            precondition(code == 0, "a thread can be started")
            pthread_detach(thread)
        }
    }
}
