import Glibc
import Simulation

@_silgen_name("fork") private func forkProcess() -> pid_t

/// One run in a process of its own, so that a crash is only its own, and what it leaves behind goes with it.
struct SeedProcess {
    let plan: RunPlan
    let process: pid_t
    /// The reading end of the pipe on which the process reports.
    let descriptor: CInt
    private(set) var output: [UInt8] = []

    /// - Returns: nil if there can be no more processes.
    init?(_ plan: RunPlan) {
        var ends: [CInt] = [0, 0]
        guard pipe(&ends) == 0 else { return nil }
        fflush(nil)
        let process = forkProcess()
        guard process >= 0 else { return nil }
        if process == 0 {
            close(ends[0])
            let report = RunReport.of(plan)
            Self.write(ReportCoding.text(report), to: ends[1])
            fflush(nil)
            _exit(0)
        }
        close(ends[1])
        self.plan = plan
        self.process = process
        descriptor = ends[0]
    }

    /// Reads what is there.
    /// - Returns: false when the process has said everything.
    mutating func read() -> Bool {
        var part = [UInt8](repeating: 0, count: 65_536)
        let count = Glibc.read(descriptor, &part, part.count)
        if count > 0 { output += part[..<count] }
        return count > 0 || (count < 0 && errno == EINTR)
    }

    /// Waits for the end of the process.
    func finish() -> RunReport {
        close(descriptor)
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        if let report = ReportCoding.report(String(decoding: output, as: UTF8.self)) { return report }
        var report = RunReport()
        let signal = status & 0x7F
        report.violations = [.init(rule: "crash", text: signal != 0 ? "the process ended by signal \(signal)" : "the process ended with code \(status >> 8 & 0xFF)")]
        return report
    }

    private static func write(_ text: String, to descriptor: CInt) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
