package import Model

/// What the failure detector is told.
package enum MembershipEvent: Sendable, Equatable {
    /// Time passed. To be given about once per `probeInterval`.
    case tick
    /// The other members are now these. Their order does not matter.
    case members([NodeID])
    /// Any message of this member arrived.
    case heard(NodeID)
    /// The member answered a direct probe after so many nanoseconds.
    case answered(NodeID, roundTrip: UInt64)
    /// The member did not answer a direct probe in time.
    case missed(NodeID)
    /// A member that was asked to probe it got an answer.
    case answeredIndirectly(NodeID)
    /// None of the members that were asked to probe it got an answer.
    case missedIndirectly(NodeID)
}
