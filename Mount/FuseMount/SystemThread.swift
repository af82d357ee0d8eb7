import CPosix
import Glibc

/// Threads of our own for what blocks: libfuse's loop, mount(2), umount(2), notifications.
enum SystemThread {
    /// Starts a detached thread. Returns the system's error number, 0 if it runs.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> Int32 {
        let work = Unmanaged.passRetained(ThreadWork(name: name, body: body))
        var identifier = pthread_t()
        let code = pthread_create(
            &identifier, nil,
            { argument in
                guard let argument else { return nil }
                let work = Unmanaged<ThreadWork>.fromOpaque(argument).takeRetainedValue()
                CPosix_name_thread(work.name)
                work.body()
                return nil
            }, work.toOpaque())
        if code == 0 { pthread_detach(identifier) } else { work.release() }
        return code
    }

    /// Runs `body` on a thread of its own and resumes the caller with its result; where no thread can be had, on the caller's.
    static func run<Result: Sendable>(_ name: String, _ body: @escaping @Sendable () -> Result) async -> Result {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Result, Never>) in
            if start(name, { continuation.resume(returning: body()) }) != 0 { continuation.resume(returning: body()) }
        }
    }
}

/// What a new thread is given.
private final class ThreadWork: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}
