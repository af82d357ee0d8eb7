import Testing

/// What the fuzzer once found stays mended, and each decoder stands some thousand changed inputs, without libFuzzer.
@Suite(.serialized) struct ReplayTests {
    private static let names = FuzzTarget.all.map(\.name)

    private func target(_ name: String) throws -> FuzzTarget { try #require(FuzzTarget.all.first { $0.name == name }) }

    @Test func findsBelongToTargets() {
        for name in Find.targets { #expect(Self.names.contains(name), "finds/\(name) belongs to no target") }
    }

    @Test(arguments: Self.names) func finds(_ name: String) throws {
        let target = try target(name)
        for find in try Find.all(of: name) {
            #expect(Int(find.bytes.first ?? .max) < target.decoders.count, "\(find.path) names no decoder")
            do { try find.bytes.withUnsafeBytes { try target.run($0) } } catch { Issue.record("\(find.path): \(error)") }
        }
    }

    /// The seeds, and changed forms of each.
    @Test(arguments: Self.names) func mutations(_ name: String) throws {
        let target = try target(name)
        #expect(target.decoders.count <= 256)
        for decoder in target.decoders {
            for (number, seed) in decoder.seeds.enumerated() {
                var mutator = Mutator(seed: UInt64(number))
                var input = seed
                for round in 0...decoder.mutations {
                    do {
                        try input.withUnsafeBytes { try decoder.run($0) }
                    } catch {
                        Issue.record("\(name), \(decoder.name), seed \(number), round \(round): \(error): \(input)")
                        break
                    }
                    input = mutator.mutate(seed)
                }
            }
        }
    }
}
