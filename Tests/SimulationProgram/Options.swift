import Model
import Simulation
import SimulationChecks
import Telemetry

/// What the command line asks for.
struct Options {
    static let usage = """
        usage: dhtfs-simulate [--seed N] [--seeds K] [--nodes N] [--clients M] [--seconds S] [--swarm | --even] [--minutes T] [--jobs J]
                              [--faults FILE] [--shrink] [--trace | --verbose] [--twice] [--known FILE] [--first]
                              [--workloads KIND,…] [--canary NAME] [--list-canaries]

        Runs a whole cluster, its clients and its faults in one thread, one process for each seed.

          --seed N      the first seed; with --seeds 1 the only one (default 1)
          --seeds K     how many seeds (default 200, or 1 with --seed, --faults, --shrink or --trace)
          --nodes N     daemons, 1 to 16 (default 5)
          --clients M   clients, 1 to 16 (default 3)
          --seconds S   simulated seconds with load and faults, 1 to 3600 (default 60)
          --swarm       each seed draws which kinds of faults it has (the default); --even gives every seed all kinds
          --minutes T   goes on with further seeds for so many minutes
          --jobs J      processes at a time (default: processors)
          --faults FILE these faults instead of those of the seed
          --shrink      looks for fewer faults that still break the same rule, and prints them
          --trace       prints everything that happens; --verbose with the debug lines of the logs
          --twice       runs each seed twice and compares the traces
          --known FILE  runs the seeds of a list, one line each: seed, then what it once showed
          --first       ends with the first seed that breaks a rule
          --workloads KIND,…
                        these instead of those that the seed draws: \(WorkloadKind.allCases.map(\.rawValue).joined(separator: ", "))
          --canary NAME puts a fault into the product on purpose, which must be found; debug builds only
          --list-canaries
                        prints their names
        """

    var seeds: [UInt64] = []
    var plan = RunPlan(seed: 1)
    var minutes: Int?
    var jobs: Int?
    var shrinks = false
    var twice = false
    /// Ends with the first failure.
    var endsAtFirst = false
    var listsCanaries = false
    var wantsHelp = false

    /// - Throws: one line that says what is wrong.
    init(_ words: [String]) throws(OptionError) {
        var first: UInt64?
        var count: Int?
        var rest = words[...]
        var known: [UInt64]?
        func value(_ flag: String) throws(OptionError) -> String {
            guard let value = rest.popFirst() else { throw OptionError(cause: "\(flag) needs a value") }
            return value
        }
        func number(_ flag: String, _ range: ClosedRange<Int>) throws(OptionError) -> Int {
            let text = try value(flag)
            guard let number = Int(text), range.contains(number) else {
                throw OptionError(cause: "\(flag) must be a number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
            }
            return number
        }
        while let flag = rest.popFirst() {
            switch flag {
            case "--help", "-h": wantsHelp = true
            case "--seed":
                let text = try value(flag)
                guard let number = UInt64(text) else { throw OptionError(cause: "--seed must be a number from 0 to \(UInt64.max), not '\(text)'") }
                first = number
            case "--seeds": count = try number(flag, 1...100_000_000)
            case "--nodes": plan.nodes = try number(flag, 1...16)
            case "--clients": plan.clients = try number(flag, 1...16)
            case "--seconds": plan.seconds = try number(flag, 1...3600)
            case "--minutes": minutes = try number(flag, 1...100_000)
            case "--jobs": jobs = try number(flag, 1...256)
            case "--swarm": plan.isSwarm = true
            case "--even": plan.isSwarm = false
            case "--shrink": shrinks = true
            case "--trace": plan.printsTrace = true
            case "--verbose":
                plan.printsTrace = true
                plan.logLevel = .debug
            case "--twice": twice = true
            case "--first": endsAtFirst = true
            case "--workloads": plan.workloads = try Self.workloads(try value(flag))
            case "--list-canaries": listsCanaries = true
            case "--canary": plan.canary = try Self.canary(try value(flag))
            case "--faults": plan.script = try Self.script(try value(flag))
            case "--known": known = try Self.known(try value(flag))
            default: throw OptionError(cause: "unknown flag \(flag); see --help")
            }
        }
        if let known {
            seeds = known
        } else {
            let isSingle = first != nil || plan.script != nil || shrinks || plan.printsTrace
            let start = first ?? 1
            seeds = (0..<UInt64(count ?? (isSingle ? 1 : 200))).map { start &+ $0 }
        }
    }

    private static func workloads(_ text: String) throws(OptionError) -> [WorkloadKind] {
        var kinds: [WorkloadKind] = []
        for name in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let kind = WorkloadKind(rawValue: String(name)), !kinds.contains(kind) else {
                throw OptionError(cause: "--workloads takes each of its names once, separated by commas, not '\(name)'; see --help")
            }
            kinds.append(kind)
        }
        return kinds
    }

    private static func canary(_ name: String) throws(OptionError) -> Canary {
        guard let canary = Canary(rawValue: name) else { throw OptionError(cause: "unknown canary '\(name)'; see --list-canaries") }
        #if CANARIES
            return canary
        #else
            throw OptionError(cause: "this build has no canaries such as \(canary); a debug build has: swift build --product dhtfs-simulate")
        #endif
    }

    private static func script(_ path: String) throws(OptionError) -> FaultScript {
        let text = try TextFile.read(path)
        do throws(FaultScriptError) { return try FaultScript(text: text) } catch { throw OptionError(cause: "\(path): \(error.cause)") }
    }

    private static func known(_ path: String) throws(OptionError) -> [UInt64] {
        var seeds: [UInt64] = []
        for (index, line) in try TextFile.read(path).split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard let word = line.split(separator: " ").first, !word.hasPrefix("#") else { continue }
            guard let seed = UInt64(word) else { throw OptionError(cause: "\(path), line \(index + 1): '\(word)' is no seed") }
            seeds.append(seed)
        }
        return seeds
    }
}

struct OptionError: Error {
    var cause: String
}
