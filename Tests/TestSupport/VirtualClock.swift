package import Runtime

/// A clock that stands still until a test moves it.
@LoopActor
package final class VirtualClock: Clock {
    package private(set) var now: UInt64
    /// Nanoseconds since 1970; moves with `now`, and a test may set it.
    package var wallTime: Int64
    private let timers = TimerHeap()

    package init(now: UInt64 = 1_000_000_000, wallTime: Int64 = 1_700_000_000_000_000_000) {
        self.now = now
        self.wallTime = wallTime
    }

    package func schedule(after nanoseconds: UInt64, _ body: @escaping @LoopActor () -> Void) -> any TimerHandle {
        let (sum, overflow) = now.addingReportingOverflow(nanoseconds)
        return timers.insert(deadline: overflow ? .max : sum, body)
    }

    /// Moves time on, running each timer at its own time and letting what it started run before the next one.
    package func advance(by nanoseconds: UInt64) async {
        let target = now + nanoseconds
        await settle()
        while let due = timers.earliest, due <= target {
            move(to: max(due, now))
            if let body = timers.takeDue(at: now) { body() }
            await settle()
        }
        move(to: target)
        await settle()
    }

    /// Moves on to the earliest timer and runs it. False if there is none.
    /// - Parameter turns: of the loop, before and after; enough for what the timers of the test set off.
    package func advanceToNextTimer(turns: Int = 200) async -> Bool {
        await settle(turns: turns)
        guard let due = timers.earliest else { return false }
        move(to: max(due, now))
        if let body = timers.takeDue(at: now) { body() }
        await settle(turns: turns)
        return true
    }

    private func move(to time: UInt64) {
        wallTime += Int64(time - now)
        now = time
    }
}

/// Lets everything that is queued on the loop run, and what that queues, for up to `turns` rounds. Enough for a world in memory, where nothing
/// waits for another thread.
@LoopActor
package func settle(turns: Int = 200) async {
    for _ in 0..<turns { await Task.yield() }
}
