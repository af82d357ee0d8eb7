/// Time, as the layers above see it. In a simulator it is virtual.
@LoopActor
package protocol Clock: AnyObject, Sendable {
    /// Monotonic nanoseconds since an arbitrary start. Never goes back; goes on while the process is frozen
    /// (CLOCK_BOOTTIME, clock_gettime(2)).
    var now: UInt64 { get }
    /// Nanoseconds since 1970-01-01 UTC. May jump; only for timestamps that users see.
    var wallTime: Int64 { get }
    /// Calls `body` once, on the loop, not earlier than `nanoseconds` from now.
    func schedule(after nanoseconds: UInt64, _ body: @escaping @LoopActor () -> Void) -> any TimerHandle
}

/// A scheduled call.
@LoopActor
package protocol TimerHandle: AnyObject, Sendable {
    /// Takes the call back. Harmless after it ran.
    func cancel()
}

extension Clock {
    /// Suspends the task for at least `nanoseconds`.
    package func sleep(nanoseconds: UInt64) async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            _ = schedule(after: nanoseconds) { continuation.resume() }
        }
    }
}

/// Units of time in nanoseconds, for the arguments of `Clock`.
package enum Nanoseconds {
    package static let millisecond: UInt64 = 1_000_000
    package static let second: UInt64 = 1_000_000_000
    package static let minute: UInt64 = 60 * second
}
