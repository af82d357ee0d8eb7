import Runtime
import Testing

/// What the fuzzer once found stays mended, and each decoder stands some thousand changed inputs, without libFuzzer.
///
/// The targets wait for the loop, so they run on a thread of their own: a test may be run by whoever has the loop's turn (see `GlobalExecutorHook`).
@Suite(.serialized) @LoopActor struct ReplayTests {
    private nonisolated static let names = [
        "frames", "channel", "metadata-messages", "block-messages", "namespace-coding", "namespace-state", "consensus", "journal", "block-store", "layout",
        "text", "credentials", "handshake",
    ]
    private static let workers = WorkerThreads(count: 1, name: "fuzz")

    @Test func namesAreThoseOfTheTargets() async {
        #expect(await Self.workers.run { FuzzTarget.all.map(\.name) } == Self.names)
        for name in Find.targets { #expect(Self.names.contains(name), "finds/\(name) belongs to no target") }
    }

    @Test(arguments: names) func finds(_ name: String) async {
        #expect(await Self.workers.run { Self.problemsOfFinds(name) } == [])
    }

    private nonisolated static func problemsOfFinds(_ name: String) -> [String] {
        guard let target = FuzzTarget.all.first(where: { $0.name == name }) else { return ["there is no such target"] }
        var problems: [String] = []
        do throws(Violation) {
            for find in try Find.all(of: name) {
                if Int(find.bytes.first ?? .max) >= target.decoders.count { problems.append("\(find.path) names no decoder") }
                do { try find.bytes.withUnsafeBytes { try target.run($0) } } catch { problems.append("\(find.path): \(error)") }
            }
        } catch {
            problems.append("\(error)")
        }
        return problems
    }

    /// The seeds, and changed forms of each.
    @Test(arguments: names) func mutations(_ name: String) async {
        #expect(await Self.workers.run { Self.problemsOfMutations(name) } == [])
    }

    private nonisolated static func problemsOfMutations(_ name: String) -> [String] {
        guard let target = FuzzTarget.all.first(where: { $0.name == name }) else { return ["there is no such target"] }
        guard target.decoders.count <= 256 else { return ["one byte does not name that many decoders"] }
        var problems: [String] = []
        for decoder in target.decoders {
            for (number, seed) in decoder.seeds.enumerated() {
                var mutator = Mutator(seed: UInt64(number))
                var input = seed
                for round in 0...decoder.mutations {
                    do {
                        try input.withUnsafeBytes { try decoder.run($0) }
                    } catch {
                        problems.append("\(decoder.name), seed \(number), round \(round): \(error): \(input)")
                        break
                    }
                    input = mutator.mutate(seed)
                }
            }
        }
        return problems
    }
}
