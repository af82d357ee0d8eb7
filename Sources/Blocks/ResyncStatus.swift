/// The state of a `ResyncQueue`, for people.
package struct ResyncStatus: Sendable, Equatable {
    /// Tasks waiting or under way.
    package var length: Int
    package var inProgress: Int
    /// Nanoseconds since the oldest task was enqueued; nil if there is none.
    package var oldestAge: UInt64?
    /// Tasks finished since the start of the process.
    package var finished: UInt64
    /// Failed attempts since the start of the process.
    package var failedAttempts: UInt64
    /// Tasks refused since the start because the queue was full or could not be written. `verify` finds what they were about.
    package var refused: UInt64
    /// At the rate of the last half minute to a minute, in seconds; nil if nothing was finished in that time.
    package var secondsLeft: UInt64?
}
