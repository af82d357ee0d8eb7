/// What the failure detector thinks of a member.
package enum MemberState: UInt8, Sendable, CaseIterable {
    case alive = 0
    /// It missed several probes, direct and indirect; or it is back after flapping and has to prove itself. Asked last.
    case suspected = 1
    /// It stayed silent for the suspicion time. Not asked at all while others can serve.
    case down = 2
}
