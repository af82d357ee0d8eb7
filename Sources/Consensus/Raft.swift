package import Model

/// One server of a Raft group as a pure value: no clock, thread, randomness or I/O.
package struct Raft: Sendable {
    package let id: NodeID

    /// - Parameters:
    ///   - seed: spreads election timeouts; any number, different on each server.
    ///   - now: monotonic nanoseconds, as in every `step`.
    package init(id: NodeID, restored: Restored, timing: Timing, seed: UInt64, now: UInt64) {
        self.id = id
    }

    /// Takes one event and tells what to do about it.
    package mutating func step(_ event: Event, now: UInt64) -> [Effect] { [] }
}
