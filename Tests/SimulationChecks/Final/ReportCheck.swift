package import Verification

extension StateChecks {
    /// What `Checker.check` found; nothing is to be left.
    package static func verification(_ report: Report) -> [Violation] {
        guard !report.findings.isEmpty else { return [] }
        let lines = report.findings.prefix(20).map { finding in
            "\(finding.problem.rawValue): \(finding.paths.joined(separator: " ")) \(finding.detail)"
        }
        return [Violation(.copies, "verify, \(report.findings.count) findings", Array(lines))]
    }
}
