import CPosix
// Whole-module builds ascribe timespec and stat to the first C module that includes them, and that is libuv.
import CUV
import Glibc

/// The machine's clock, and timers on it by one timer descriptor on the event loop.
@LoopActor
package final class SystemClock: Clock {
    /// The clock of the process.
    package static let shared = SystemClock()

    private let timers = TimerHeap()
    private let descriptor: Int32
    private let poll: PollHandle
    /// What the descriptor is armed for. Not lowered when a timer is taken back: one wake-up for nothing is cheaper than a system call
    /// for each request that is answered in time.
    private var armed = UInt64.max

    private init() {
        descriptor = CPosix_timer_create()
        guard descriptor >= 0, let poll = PollHandle(descriptor) else {
            fatalError("cannot make a timer: \(String(cString: strerror(errno)))")
        }
        self.poll = poll
        poll.onEvent = { [unowned self] _, _ in fire() }
        poll.watch(reads: true, writes: false)
    }

    package var now: UInt64 { Self.nanoseconds(CLOCK_BOOTTIME) }

    package var wallTime: Int64 { Int64(Self.nanoseconds(CLOCK_REALTIME)) }

    package func schedule(after nanoseconds: UInt64, _ body: @escaping @LoopActor () -> Void) -> any TimerHandle {
        let (sum, overflow) = now.addingReportingOverflow(nanoseconds)
        let entry = timers.insert(deadline: overflow ? .max : sum, body)
        arm()
        return entry
    }

    private func fire() {
        var expirations: UInt64 = 0
        _ = read(descriptor, &expirations, MemoryLayout<UInt64>.size)
        armed = .max
        let reached = now
        while let body = timers.takeDue(at: reached) { body() }
        arm()
    }

    private func arm() {
        guard let earliest = timers.earliest, earliest < armed else { return }
        // Beyond what the system call takes lies the year 2554: such a timer never fires.
        guard earliest <= UInt64(Int64.max) else { return }
        armed = earliest
        CPosix_timer_arm(descriptor, max(earliest, 1))
    }

    private static func nanoseconds(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
