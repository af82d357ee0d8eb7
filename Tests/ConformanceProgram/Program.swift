import Conformance
import Glibc

/// Runs the cases, or random operations, on directories of this machine.
enum Program {
    /// Returns the exit code.
    static func run(_ words: [String]) -> Int32 {
        let options: Options
        do { options = try Options(words) } catch {
            complain("\(error)")
            return 2
        }
        if options.isHelp {
            print(Options.usage)
            return 0
        }
        if options.isListing {
            for test in chosen(options) { print(test.name) }
            return 0
        }
        do {
            if let steps = options.randomSteps { return try random(steps, options) }
            return try cases(options)
        } catch {
            complain("\(error)")
            return 2
        }
    }

    private static func complain(_ text: String) {
        let bytes = Array("dhtfs-conformance: \(text)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }

    /// The working directory changes while cases run.
    private static func absolute(_ path: String?) throws -> String? {
        guard let path else { return nil }
        guard let found = realpath(path, nil) else { throw Failure("no directory \(path)") }
        defer { free(found) }
        return String(cString: found)
    }

    private static func chosen(_ options: Options) -> [Case] {
        Suite.cases.filter { test in options.names.isEmpty || options.names.contains { test.name.hasPrefix($0) } }
    }

    private static func cases(_ options: Options) throws -> Int32 {
        guard let tree = try absolute(options.tree) else { throw Failure("--tree is missing\n" + Options.usage) }
        let thread = try KernelThread()
        let first = KernelCalls(tree: tree, thread: thread)
        let second = KernelCalls(tree: try absolute(options.second) ?? tree, thread: thread)
        var (passed, failed, excluded) = (0, 0, 0)
        for test in chosen(options) {
            if test.exceptions[options.isOracle ? .oracle : .mount] != nil || (options.onlyTwo && !test.isTwo) {
                excluded += 1
                continue
            }
            if options.isVerbose { print(test.name) }
            if let failure = Suite.run(test, on: first, second) {
                failed += 1
                print("FAILED \(test.name): \(failure)")
            } else {
                passed += 1
            }
            fflush(nil)
        }
        print("\(passed) passed, \(failed) failed, \(excluded) do not apply")
        guard passed + failed > 0 else { throw Failure("no case has such a name") }
        return failed == 0 ? 0 : 1
    }

    private static func random(_ steps: Int, _ options: Options) throws -> Int32 {
        guard let tree = try absolute(options.tree), let oracle = try absolute(options.oracle) else { throw Failure("--random needs --tree and --oracle") }
        let thread = try KernelThread()
        let trees = [tree] + (try absolute(options.second).map { [$0] } ?? [])
        // Descriptors belong to a mount, so each has its own view of the oracle.
        let run = RandomRun(
            seed: options.seed,
            sides: trees.map { RandomRun.Side(tree: KernelCalls(tree: $0, thread: thread), oracle: KernelCalls(tree: oracle, thread: thread)) },
            // A fifo connects processes of one machine.
            usesPipes: trees.count == 1)
        var start = timespec()
        clock_gettime(CLOCK_MONOTONIC, &start)
        let difference = try run.run(steps: steps)
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let seconds = Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) / 1e9
        let rate = Int(Double(run.done) / max(seconds, 0.001))
        if let difference {
            print("seed \(options.seed), after \(run.done) operations:")
            print(difference)
            return 1
        }
        print("\(run.done) operations without a difference (\(run.succeeded) succeeded), \(run.comparisons) comparisons of trees, \(rate) per second, seed \(options.seed)")
        return 0
    }
}
