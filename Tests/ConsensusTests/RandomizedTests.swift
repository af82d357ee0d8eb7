import Glibc
import Testing

@testable import Consensus

/// The properties of figure 3 under everything that can go wrong. `RAFT_SEEDS` sets the number of seeds of each size, `RAFT_SEED` runs one.
@Suite struct RandomizedTests {
    static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

    static let seeds = number("RAFT_SEED").map { $0...$0 } ?? 1...(number("RAFT_SEEDS") ?? 5000)
    static let events = 400

    /// Runs one seed; a failure is run again with its trace.
    static func run(voters: Int, seed: UInt64, prepare: @escaping (inout Raft) -> Void = { _ in }) -> Result<Simulation.Counts, Violation> {
        var simulation = Simulation(voters: voters, seed: seed, prepare: prepare)
        do {
            try simulation.run(events: events)
            return .success(simulation.counts)
        } catch let violation as Violation { return .failure(violation) } catch { return .failure(Violation(description: "\(error)")) }
    }

    static func tail(voters: Int, seed: UInt64) -> String {
        var simulation = Simulation(voters: voters, seed: seed, tracing: true)
        try? simulation.run(events: events)
        return simulation.trace?.lines.suffix(number("RAFT_TRACE").map { Int($0) } ?? 120).joined(separator: "\n") ?? ""
    }

    @Test(arguments: [3, 5]) func safetyAndRecovery(voters: Int) async {
        let parts: UInt64 = 4
        var total = Simulation.Counts()
        await withTaskGroup(of: Simulation.Counts.self) { group in
            for part in 0..<parts {
                group.addTask {
                    var sum = Simulation.Counts()
                    for seed in Self.seeds where seed % parts == part {
                        switch Self.run(voters: voters, seed: seed) {
                        case .success(let counts): sum.add(counts)
                        case .failure(let violation):
                            Issue.record("RAFT_SEED=\(seed), \(voters) servers: \(violation)\n\(Self.tail(voters: voters, seed: seed))")
                            return sum
                        }
                    }
                    return sum
                }
            }
            for await counts in group { total.add(counts) }
        }
        guard Self.seeds.count > 100 else { return }
        // The run has seen what it is for.
        let runs = Self.seeds.count
        #expect(total.elections > runs && total.commits > 5 * runs && total.reads > runs && total.crashes > runs)
        #expect(total.snapshots > runs / 20 && total.configurations > runs / 5 && total.truncations > runs / 5)
        #expect(total.wipes > runs / 20 && total.rollbacks > 0 && total.returned > total.wipes / 10 && total.noticed > total.wipes / 2)
        print("\(voters) servers, \(runs) seeds: \(total)")
    }

    #if DEBUG
        /// Breaks one rule of the core and expects the run to notice.
        @Test(arguments: [Mutation.commitsEarlierTerms, .votesWithoutPersisting, .countsLearners])
        func findsBrokenRule(_ mutation: Mutation) {
            let found = (1...UInt64(10_000)).first { seed in
                let result = Self.run(voters: seed % 2 == 0 ? 3 : 5, seed: seed) { $0.mutations = [mutation] }
                guard case .failure(let violation) = result else { return false }
                print("\(mutation): seed \(seed): \(violation)")
                return true
            }
            #expect(found != nil)
        }
    #endif

    /// Servers that have lost their log and go on as if nothing were.
    @Test func findsServersThatForgot() {
        let found = (1...UInt64(10_000)).first { seed in
            let result = Self.run(voters: 3, seed: seed) { $0.standing = .trusted }
            guard case .failure(let violation) = result, !violation.description.hasPrefix("liveness") else { return false }
            print("forgets: seed \(seed): \(violation)")
            return true
        }
        #expect(found != nil)
    }
}

extension Simulation.Counts {
    mutating func add(_ other: Self) {
        elections += other.elections
        commits += other.commits
        reads += other.reads
        snapshots += other.snapshots
        configurations += other.configurations
        truncations += other.truncations
        crashes += other.crashes
        wipes += other.wipes
        rollbacks += other.rollbacks
        noticed += other.noticed
        returned += other.returned
        steps += other.steps
    }
}
