package import Runtime

/// The one time of a simulated world, in nanoseconds since its beginning. Moves only from event to event.
@LoopActor
package final class SimulatedTime: Clock {
    package private(set) var now: UInt64 = 0
    private let timers = TimerHeap()
    /// Calls made so far.
    package private(set) var events: UInt64 = 0

    package init() {}

    /// Nanoseconds since 1970 of a clock that is right.
    package var wallTime: Int64 { 1_700_000_000_000_000_000 + Int64(now) }

    package func schedule(after nanoseconds: UInt64, _ body: @escaping @LoopActor () -> Void) -> any TimerHandle {
        let (sum, overflow) = now.addingReportingOverflow(nanoseconds)
        return timers.insert(deadline: overflow ? .max : sum, body)
    }

    /// Moves on to the next event and returns its call; nil if there is none.
    func next() -> (@LoopActor () -> Void)? {
        guard let due = timers.earliest else { return nil }
        now = max(now, due)
        events &+= 1
        return timers.takeDue(at: now)
    }
}
