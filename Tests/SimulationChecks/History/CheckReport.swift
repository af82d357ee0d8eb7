/// What the checkers found in the histories of a run.
package struct CheckReport: Equatable, Sendable {
    package var violations: [Violation] = []
    /// Histories that were judged, and those whose search reached its bound, so that nothing is known of them.
    package var histories = 0
    package var unknown = 0
    /// Operations in all histories, those of which nobody knows whether they happened, and those that failed.
    package var operations = 0
    package var open = 0
    package var failed = 0

    package init() {}

    package mutating func add(_ verdict: Verdict, _ rule: Violation.Rule, _ subject: String) {
        histories += 1
        switch verdict {
        case .linearizable: break
        case .violation(let lines): violations.append(Violation(rule, subject, lines))
        case .unknown: unknown += 1
        }
    }

    package mutating func absorb(_ other: CheckReport) {
        violations += other.violations
        histories += other.histories
        unknown += other.unknown
        operations += other.operations
        open += other.open
        failed += other.failed
    }
}
