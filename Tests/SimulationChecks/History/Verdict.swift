/// What a search for a linearization found.
package enum Verdict: Equatable, Sendable {
    case linearizable
    /// There is none. The lines show the operations around the point beyond which no order got.
    case violation([String])
    /// The bound was reached first: nothing is said about the history.
    case unknown

    package var isViolation: Bool { if case .violation = self { true } else { false } }
}
