import Runtime
import Synchronization

/// Whether the kernel has accepted a session: what INIT came to.
///
/// To ask the mounted filesystem for something instead would be a trap: a process that is killed while one of its threads waits for its own answer never
/// ends, as that thread holds the channel open whose end it waits for.
final class Acceptance: Sendable {
    private let code = Mutex<Int32?>(nil)
    private let semaphore = Semaphore()

    /// INIT is answered, or never will be. Counts once; harmless afterwards. Any thread.
    /// - Parameter code: the system's error number; 0: it was accepted.
    func finish(_ code: Int32) {
        self.code.withLock { if $0 == nil { $0 = code } }
        semaphore.signal()
    }

    /// The number that `finish` was given. To be called once; blocks.
    func wait() -> Int32 {
        semaphore.wait()
        return code.withLock { $0 ?? 0 }
    }
}
