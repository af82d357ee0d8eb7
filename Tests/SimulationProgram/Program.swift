import Glibc
import Model
import Simulation

/// Runs seeds, in processes beside each other, and tells what came of them.
struct Program {
    private let options: Options
    private var running: [SeedProcess] = []
    private var done = 0
    private var failed: [(seed: UInt64, rule: String)] = []
    private var simulated: UInt64 = 0
    private var operations = 0
    private var open = 0
    private var faults = 0
    private var undecided = 0
    private let start = Self.now
    private var lastProgress: UInt64 = 0

    /// - Returns: the exit code: 0 without, 1 with violations, 2 for a command line that makes no sense.
    static func run(_ words: [String]) -> Int32 {
        let options: Options
        do throws(OptionError) { options = try Options(words) } catch {
            Console.error("dhtfs-simulate: \(error.cause)\n")
            return 2
        }
        if options.wantsHelp {
            print(Options.usage)
            return 0
        }
        if options.listsCanaries {
            for canary in Canary.allCases { print(canary.rawValue) }
            return 0
        }
        var program = Program(options)
        if options.shrinks { return program.shrink() }
        return options.twice ? program.compare() : program.runAll()
    }

    private init(_ options: Options) { self.options = options }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    // MARK: Many seeds

    private mutating func runAll() -> Int32 {
        let jobs = options.plan.printsTrace ? 1 : options.jobs ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        let deadline = options.minutes.map { start + UInt64($0) * 60_000_000_000 }
        var index = 0
        while true {
            while running.count < jobs, let seed = nextSeed(index, deadline) {
                var plan = options.plan
                plan.seed = seed
                guard let process = SeedProcess(plan) else {
                    Console.error("dhtfs-simulate: cannot start a process: \(String(cString: strerror(errno)))\n")
                    return 2
                }
                running.append(process)
                index += 1
            }
            if running.isEmpty { break }
            collect()
            showProgress()
        }
        return summarize()
    }

    private func nextSeed(_ index: Int, _ deadline: UInt64?) -> UInt64? {
        if options.endsAtFirst, !failed.isEmpty { return nil }
        if let deadline { return Self.now < deadline ? (options.seeds.first ?? 1) &+ UInt64(index) : nil }
        return index < options.seeds.count ? options.seeds[index] : nil
    }

    /// Waits until a process has said something.
    private mutating func collect() {
        var waiting = running.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        poll(&waiting, nfds_t(waiting.count), 1000)
        for index in waiting.indices.reversed() where waiting[index].revents != 0 {
            if running[index].read() { continue }
            let process = running.remove(at: index)
            note(process.plan.seed, process.finish())
        }
    }

    private mutating func note(_ seed: UInt64, _ report: RunReport) {
        done += 1
        simulated += report.simulated
        operations += report.operations
        open += report.open
        faults += report.faults
        undecided += report.undecided
        guard let first = report.violations.first else { return }
        failed.append((seed, first.rule))
        clearProgress()
        Self.show(seed, report)
    }

    private static func show(_ seed: UInt64, _ report: RunReport) {
        print("seed \(seed): \(report.violations.count) violation(s)")
        for violation in report.violations.prefix(5) { print("\(violation.rule): \(violation.text)") }
        print("the end of the trace:")
        for line in report.trace.suffix(60) { print("    \(line)") }
        print("the faults:")
        print(report.script.text, terminator: "")
    }

    private mutating func summarize() -> Int32 {
        clearProgress()
        let seconds = Double(max(1, Self.now - start)) / 1e9
        let ratio = Double(simulated) / 1e9 / seconds
        print(
            "\(done) seeds, \(simulated / 1_000_000_000) simulated seconds, \(operations) operations (\(open) open), \(faults) faults, \(undecided) histories undecided, \(failed.count) failed"
        )
        print("\(Self.rounded(seconds)) s, \(Self.rounded(Double(done) / seconds)) seeds/s, \(Self.rounded(ratio)) simulated seconds per second")
        for (seed, rule) in failed.prefix(50) { print("failed: \(rule): Scripts/simulate --seed \(seed)\(arguments)") }
        return failed.isEmpty ? 0 : 1
    }

    /// What must be said besides the seed to repeat a run.
    private var arguments: String {
        let plan = options.plan
        let usual = RunPlan(seed: 0)
        var words = ""
        if plan.nodes != usual.nodes { words += " --nodes \(plan.nodes)" }
        if plan.clients != usual.clients { words += " --clients \(plan.clients)" }
        if plan.seconds != usual.seconds { words += " --seconds \(plan.seconds)" }
        if plan.isSwarm != usual.isSwarm { words += " --even" }
        if let workloads = plan.workloads { words += " --workloads " + workloads.map(\.rawValue).joined(separator: ",") }
        if let canary = plan.canary { words += " --canary \(canary)" }
        return words
    }

    private mutating func showProgress() {
        guard isatty(STDERR_FILENO) == 1 || Self.now - lastProgress > 30_000_000_000, Self.now - lastProgress > 500_000_000 else { return }
        lastProgress = Self.now
        let seconds = Double(Self.now - start) / 1e9
        let total = options.minutes == nil ? "/\(options.seeds.count)" : ""
        let line =
            "\(done)\(total) seeds, \(failed.count) failed, \(Self.rounded(Double(done) / seconds)) seeds/s, \(Self.rounded(Double(simulated) / 1e9 / seconds)) simulated seconds per second"
        Console.error(isatty(STDERR_FILENO) == 1 ? "\r\u{1B}[K\(line)" : "\(line)\n")
    }

    private func clearProgress() { if isatty(STDERR_FILENO) == 1 { Console.error("\r\u{1B}[K") } }

    private static func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    // MARK: One seed several times

    private func report(_ plan: RunPlan) -> RunReport {
        guard var process = SeedProcess(plan) else { return RunReport() }
        while process.read() {}
        return process.finish()
    }

    /// Runs each seed twice.
    private func compare() -> Int32 {
        var differing = 0
        for seed in options.seeds {
            var plan = options.plan
            plan.seed = seed
            let first = report(plan)
            let second = report(plan)
            if first.digest != second.digest || first.events != second.events {
                differing += 1
                print("seed \(seed): two runs differ: \(first.events) and \(second.events) events, traces \(first.digest) and \(second.digest)")
            }
        }
        print("\(options.seeds.count) seeds twice, \(differing) differ")
        return differing == 0 ? 0 : 1
    }

    /// Leaves faults out as long as the same rule is broken: first halves, then smaller parts, then single ones (delta debugging: Zeller and Hildebrandt,
    /// IEEE Transactions on Software Engineering 28(2), 2002).
    private func shrink() -> Int32 {
        var plan = options.plan
        plan.seed = options.seeds.first ?? 1
        plan.printsTrace = false
        let whole = report(plan)
        guard let rule = whole.violations.first?.rule else {
            print("seed \(plan.seed) breaks no rule")
            return 0
        }
        var events = whole.script.events
        var best = whole
        var part = max(1, events.count / 2)
        while true {
            var index = 0
            var changed = false
            while index < events.count {
                var fewer = events
                fewer.removeSubrange(index..<min(events.count, index + part))
                plan.script = FaultScript(fewer)
                let report = report(plan)
                if report.violations.first?.rule == rule {
                    events = fewer
                    best = report
                    changed = true
                } else {
                    index += part
                }
            }
            Console.error("\(events.count) faults left\n")
            if part == 1, !changed { break }
            if part > 1 { part /= 2 }
        }
        Self.show(plan.seed, best)
        return 1
    }
}
