package import Runtime

/// The clock of one process: its machine's idea of time.
@LoopActor
package final class ProcessClock: Clock {
    private let time: SimulatedTime
    private let process: SimulatedProcess
    private let machine: MachineTime

    package init(_ time: SimulatedTime, _ process: SimulatedProcess, _ machine: MachineTime) {
        self.time = time
        self.process = process
        self.machine = machine
    }

    package var now: UInt64 { machine.monotonic(time.now) }
    package var wallTime: Int64 { machine.wall(time.now) }

    package func schedule(after nanoseconds: UInt64, _ body: @escaping @LoopActor () -> Void) -> any TimerHandle {
        let timer = ProcessTimer(body)
        timer.entry = time.schedule(after: machine.real(nanoseconds)) { [process] in process.deliver { timer.fire() } }
        return timer
    }
}

/// A timer that can still be taken back while its process is frozen.
@LoopActor
private final class ProcessTimer: TimerHandle {
    var entry: (any TimerHandle)?
    private var body: (@LoopActor () -> Void)?

    init(_ body: @escaping @LoopActor () -> Void) { self.body = body }

    func fire() {
        entry = nil
        let call = body
        body = nil
        call?()
    }

    func cancel() {
        body = nil
        entry?.cancel()
        entry = nil
    }
}

/// What a machine takes for the time: a monotonic clock since its start that runs a little fast or slow, and a wall clock that is off and may jump.
@LoopActor
package final class MachineTime: Sendable {
    /// Nanoseconds that the monotonic clock shows at the world's beginning.
    private let boot: UInt64
    /// By how many millionths it runs fast (slow, if negative).
    private let drift: Int64
    private let million: UInt64 = 1_000_000
    /// Nanoseconds by which the wall clock is off.
    package var skew: Int64 = 0

    /// - Parameter drift: parts in a million, within a quartz's ±100 or beyond it on purpose.
    package init(boot: UInt64, drift: Int64) {
        self.boot = boot
        self.drift = drift
    }

    /// Exact to the nanosecond: a clock that is corrected from time to time would go backwards then.
    func monotonic(_ now: UInt64) -> UInt64 {
        boot &+ million.dividingFullWidth(now.multipliedFullWidth(by: UInt64(1_000_000 + drift))).quotient
    }

    func wall(_ now: UInt64) -> Int64 { 1_700_000_000_000_000_000 + Int64(now) + skew }

    /// How long a timer of this clock really takes: a little more rather than less, as no timer fires early.
    func real(_ nanoseconds: UInt64) -> UInt64 {
        guard nanoseconds < 1 << 60 else { return nanoseconds }
        let product = nanoseconds.multipliedFullWidth(by: million)
        let exact = UInt64(1_000_000 + drift).dividingFullWidth(product).quotient
        return exact + drift.magnitude + 1
    }
}
