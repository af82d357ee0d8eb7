import Runtime

/// The pauses between the rounds of one put or get, up to its deadline.
struct Retry {
    private let environment: Environment
    private let end: UInt64
    private let pauseMax: UInt64
    private var next: UInt64

    @LoopActor
    init(_ configuration: BlockClientConfiguration, _ environment: Environment) {
        self.environment = environment
        end = environment.clock.now &+ configuration.deadline
        pauseMax = configuration.retryPauseMax
        next = configuration.retryPause
    }

    /// Waits before another round; false if the deadline does not allow one.
    @LoopActor
    mutating func pause() async -> Bool {
        // Up to a quarter more, so that those who failed together do not return together.
        let pause = next + environment.random.next() % (next / 4 + 1)
        guard environment.clock.now &+ pause < end else { return false }
        next = min(next * 2, pauseMax)
        await environment.clock.sleep(nanoseconds: pause)
        return true
    }
}
