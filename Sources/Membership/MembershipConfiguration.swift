/// Periods and counts of the failure detector. Times in nanoseconds.
package struct MembershipConfiguration: Sendable, Equatable {
    /// How often a member is probed, in clusters of up to `probesPerTickMax + 1` members; beyond that they take turns, so that the
    /// load of a node does not grow with the cluster (SWIM, Das et al. 2002, section 3).
    package var probeInterval: UInt64 = 1_000_000_000
    package var probesPerTickMax = 8
    /// How many others are asked to probe a member that did not answer (`k` in SWIM).
    package var indirectProbes = 2
    /// So many missed probes in a row make a member suspected.
    package var missesUntilSuspected = 3
    /// A member suspected for so long without a sign of life is down.
    package var suspicionTime: UInt64 = 3_000_000_000
    /// A member that went down this often lately must prove itself before it counts as alive.
    package var flapsUntilDamped = 2
    package var flapHalfLife: UInt64 = 60_000_000_000
    /// How long it must be heard without a miss; doubles with every flap beyond `flapsUntilDamped`.
    package var dampingTime: UInt64 = 5_000_000_000
    package var dampingTimeMax: UInt64 = 60_000_000_000

    package init() {}
}
