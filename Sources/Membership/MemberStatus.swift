package import Model

/// A member as the failure detector sees it. Times are monotonic nanoseconds as given to `Membership.step`.
package struct MemberStatus: Sendable, Equatable {
    package let node: NodeID
    package internal(set) var state: MemberState
    /// When the state began.
    package internal(set) var since: UInt64
    /// When anything was last heard of it; nil for never.
    package internal(set) var lastHeard: UInt64?
    /// Smoothed round-trip time of probes in nanoseconds (RFC 6298, alpha 1/8); nil before the first.
    package internal(set) var roundTrip: UInt64?
    /// Probes missed one after the other.
    package internal(set) var missed: Int
    /// How often it went down lately; halves with every `flapHalfLife`.
    package internal(set) var flaps: Int
    /// When `flaps` was last halved or raised.
    var flapsSince: UInt64
    /// Since when it has been heard without a miss while not alive.
    var provingSince: UInt64?
    /// A probe, direct or indirect, has not been reported yet.
    var isProbed: Bool

    init(node: NodeID, now: UInt64) {
        self.node = node
        state = .alive
        since = now
        missed = 0
        flaps = 0
        flapsSince = now
        isProbed = false
    }
}
