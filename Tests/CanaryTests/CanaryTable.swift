import Model

/// Canaries, where it is looked for, and the bound: about three times as many seeds as were needed when the table was made.
enum CanaryTable {
    static let cases: [CanaryCase] = namespace + blocks

    private static let namespace = [
        CanaryCase(.appliesRetriesTwice, ["names", "error", "lost"], seeds: 4, resets),
        CanaryCase(.reusesInodes, ["inodeReused", "names", "lost"], seeds: 9, names),
        CanaryCase(.miscountsReferences, ["liveness", "namespace"], seeds: 3, bytes),
    ]

    private static let blocks = [
        CanaryCase(.ignoresMismatch, ["block", "content", "neverWritten"], seeds: 4, rotten),
        CanaryCase(.skipsLogSync, ["lost", "names", "liveness", "replicas", "resurrected"], seeds: 3, powerless),
        CanaryCase(.leaksOrphans, ["namespace"], seeds: 3, links),
    ]

    // MARK: Settings

    private static let none: [String] = []
    /// Slow links, so that there are answers on the way to be lost.
    private static let resets = CanarySetting(
        seconds: 15, workloads: "storm,manifest",
        faults: [(1, 2), (1, 3), (2, 3)].flatMap { ["1.000 +13.000 slow \($0.0) \($0.1) 100", "1.000 +13.000 reset \($0.0) \($0.1) 40"] })
    private static let names = CanarySetting(workloads: "storm,manifest", faults: none)
    private static let powerless = CanarySetting(workloads: "manifest,storm", faults: ["4.000 +1.000 power-all", "8.000 +1.000 power-all"])
    private static let links = CanarySetting(workloads: "links", faults: none)
    private static let bytes = CanarySetting(workloads: "image,append", faults: none)
    private static let rotten = CanarySetting(workloads: "blocks,image", faults: ["3.000 +0.001 rot-blocks 1 3000", "6.000 +0.001 rot-blocks 1 3000"])
}
