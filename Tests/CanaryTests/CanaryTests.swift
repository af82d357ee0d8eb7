import Foundation
import Model
import Testing

/// The simulator finds the canaries of the table within the seeds that it allows, and nothing without one: a checker that cannot fail proves nothing, nor does
/// one that always does.
@Suite(.serialized) struct CanaryTests {
    @Test(arguments: CanaryTable.cases)
    func isFound(_ sought: CanaryCase) throws {
        let run = try Simulator.run(sought.setting, ["--canary", sought.canary.rawValue, "--seed", "1", "--seeds", "\(sought.seeds)", "--first"])
        #expect(run.exitCode == 1, "\(sought.canary) was not found within \(sought.seeds) seeds:\n\(run.output)")
        let broken = run.brokenRules
        #expect(!broken.isDisjoint(with: sought.rules), "\(sought.canary) broke \(broken.sorted()):\n\(run.output)")
    }

    /// The same seeds, faults and load.
    @Test(arguments: Set(CanaryTable.cases.map(\.setting)).sorted { $0.description < $1.description })
    func nothingIsFoundWithout(_ setting: CanarySetting) throws {
        let seeds = CanaryTable.cases.filter { $0.setting == setting }.map(\.seeds).max() ?? 1
        let run = try Simulator.run(setting, ["--seed", "1", "--seeds", "\(seeds)"])
        #expect(run.exitCode == 0, "without a canary:\n\(run.output)")
    }

    @Test func everyCanaryIsAccountedFor() {
        #expect(CanaryTable.cases.map(\.canary.rawValue).sorted() == Canary.allCases.map(\.rawValue).sorted())
    }

    @Test func listsAndRefuses() throws {
        let list = try Simulator.run(["--list-canaries"])
        #expect(list.exitCode == 0 && list.output.split(separator: "\n").map(String.init) == Canary.allCases.map(\.rawValue))
        #expect(try Simulator.run(["--canary", "parrot"]).exitCode == 2)
        #expect(try Simulator.run(["--canary"]).exitCode == 2)
        #expect(try Simulator.run(["--workloads", "sleep"]).exitCode == 2)
    }
}
