/// What came of one run.
package struct RunReport: Sendable {
    /// A rule that was broken.
    package struct Violation: Sendable {
        package var rule: String
        package var text: String

        package init(rule: String, text: String) {
            self.rule = rule
            self.text = text
        }
    }

    package var violations: [Violation] = []
    /// In nanoseconds of the world.
    package var simulated: UInt64 = 0
    package var events: UInt64 = 0
    package var faults = 0
    /// Operations of clients, and those whose outcome nobody knows.
    package var operations = 0
    package var open = 0
    /// Histories whose check reached its bound.
    package var undecided = 0
    package var digest: UInt64 = 0
    package var script = FaultScript([])
    package var trace: [String] = []

    package init() {}
}
