package import Model

/// What the failure detector wants done.
package enum MembershipEffect: Sendable, Equatable {
    /// Probe this member; report `.answered` or `.missed`.
    case probe(NodeID)
    /// Ask these members to probe the target; report `.answeredIndirectly` or `.missedIndirectly`, once.
    case probeIndirectly(NodeID, through: [NodeID])
    /// The opinion about a member changed.
    case changed(NodeID, from: MemberState, to: MemberState)
}
