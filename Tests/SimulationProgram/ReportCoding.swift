import Simulation

/// A report as text, for the pipe between the process of a run and its parent: a line of numbers, then lines that begin with what they are.
enum ReportCoding {
    static func text(_ report: RunReport) -> String {
        let numbers: [UInt64] = [
            report.simulated, report.events, UInt64(report.faults), UInt64(report.operations), UInt64(report.open), UInt64(report.undecided), report.digest,
        ]
        var lines = [numbers.map { "\($0)" }.joined(separator: " ")]
        for violation in report.violations {
            lines.append("V" + violation.rule)
            lines += violation.text.split(separator: "\n", omittingEmptySubsequences: false).map { "X" + $0 }
        }
        lines += report.script.text.split(separator: "\n").map { "F" + $0 }
        lines += report.trace.map { "T" + $0.split(separator: "\n").joined(separator: " ") }
        return lines.joined(separator: "\n") + "\nEND\n"
    }

    /// nil if the text is cut short.
    static func report(_ text: String) -> RunReport? {
        let lines = text.split(separator: "\n")
        guard lines.last == "END", let numbers = lines.first?.split(separator: " ").compactMap({ UInt64($0) }), numbers.count == 7 else { return nil }
        var report = RunReport()
        report.simulated = numbers[0]
        report.events = numbers[1]
        report.faults = Int(numbers[2])
        report.operations = Int(numbers[3])
        report.open = Int(numbers[4])
        report.undecided = Int(numbers[5])
        report.digest = numbers[6]
        var script: [Substring] = []
        for line in lines.dropFirst().dropLast() {
            let content = String(line.dropFirst())
            switch line.first {
            case "V": report.violations.append(.init(rule: content, text: ""))
            case "X":
                guard let last = report.violations.indices.last else { return nil }
                report.violations[last].text += (report.violations[last].text.isEmpty ? "" : "\n") + content
            case "F": script.append(line.dropFirst())
            case "T": report.trace.append(content)
            default: return nil
            }
        }
        guard let made = try? FaultScript(text: script.joined(separator: "\n")) else { return nil }
        report.script = made
        return report
    }
}
