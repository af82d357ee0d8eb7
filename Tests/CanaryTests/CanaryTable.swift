import Model

/// Every canary, where it is looked for, and the bound: about three times as many seeds as were needed when the table was made.
enum CanaryTable {
    static let cases: [CanaryCase] = consensus + namespace + leases + blocks + files

    private static let consensus = [
        CanaryCase(.commitsWithoutQuorum, ["lost", "names", "liveness", "replicas", "resurrected"], seeds: 6, deposed),
        CanaryCase(.electsOutdated, ["lost", "names", "liveness", "replicas", "resurrected"], seeds: 4, lagging),
        CanaryCase(.votesTwice, ["lost", "names", "liveness", "replicas", "resurrected"], seeds: 4, elections),
        CanaryCase(.skipsLogSync, ["lost", "names", "liveness", "replicas", "resurrected"], seeds: 4, powerless),
        CanaryCase(.compactsBeforeFlush, ["lost", "names", "liveness", "replicas"], seeds: 4, restarts),
        CanaryCase(.snapshotsInPart, ["replicas"], seeds: 6, wiped),
    ]

    private static let namespace = [
        CanaryCase(.appliesRetriesTwice, ["names", "error", "lost"], seeds: 6, resets),
        CanaryCase(.reusesInodes, ["inodeReused", "names", "lost"], seeds: 4, names),
        CanaryCase(.miscountsReferences, ["liveness", "namespace"], seeds: 4, bytes),
        CanaryCase(.leaksOrphans, ["namespace"], seeds: 4, links),
    ]

    private static let leases = [
        CanaryCase(.sharesExclusiveLeases, ["content"], seeds: 4, appends),
        CanaryCase(.dropsRecalls, ["content"], seeds: 4, appends),
        CanaryCase(.cachesPastLease, ["names", "content", "register"], seeds: 6, frozen),
        CanaryCase(.ignoresFencing, ["names", "content", "register"], seeds: 6, frozen),
        CanaryCase(.skipsGracePeriod, ["content", "names", "register"], seeds: 6, leaderless),
    ]

    private static let blocks = [
        CanaryCase(.skipsBlockSync, ["block", "lost", "copies"], seeds: 4, powerlessBlocks),
        CanaryCase(.ignoresMismatch, ["block", "content", "neverWritten"], seeds: 4, rotten),
        CanaryCase(.acknowledgesOneCopy, ["block", "lost", "copies"], seeds: 6, lonely),
        CanaryCase(.forgetsOwedCopies, ["copies"], seeds: 4, absent),
    ]

    private static let files = [
        CanaryCase(.syncsTooEarly, ["lost"], seeds: 4, clientsDie),
        CanaryCase(.appendsAtStaleEnd, ["content"], seeds: 4, appends),
        CanaryCase(.renamesInTwoSteps, ["register"], seeds: 4, registers),
    ]

    // MARK: Settings

    private static let none: [String] = []
    /// A server leads, is cut off, and goes on serving who is on its own machine.
    private static let deposed = CanarySetting(
        workloads: "storm,manifest", faults: ["1.500 +2.000 isolate 1", "5.000 +2.000 isolate 2", "7.500 +2.000 isolate 3"])
    /// A server that missed entries comes back as the leader goes.
    private static let lagging = CanarySetting(
        seconds: 26, workloads: "storm,manifest",
        faults: (0..<8).flatMap { ["\(1 + 3 * $0).000 +1.500 isolate \($0 % 3 + 1)", "\(2 + 3 * $0).400 +1.000 kill-leader"] })
    /// Elections on slow links, so that votes are split.
    private static let elections = CanarySetting(
        seconds: 20, workloads: "storm,manifest",
        faults: ["1.000 +18.000 slow 1 2 300", "1.000 +18.000 slow 1 3 300", "1.000 +18.000 slow 2 3 300"]
            + (1...8).map { "\(2 * $0).000 +0.100 kill-all" })
    private static let powerless = CanarySetting(workloads: "manifest,storm", faults: ["4.000 +1.000 power-all", "8.000 +1.000 power-all"])
    private static let powerlessBlocks = CanarySetting(workloads: "manifest,blocks", faults: ["4.000 +1.000 power-all", "8.000 +1.000 power-all"])
    /// An orderly stop compacts the log.
    private static let restarts = CanarySetting(
        workloads: "storm,manifest", faults: (1...3).map { "4.000 +3.000 restart \($0)" } + ["6.000 +2.000 power-all"])
    private static let wiped = CanarySetting(
        clients: 6, seconds: 20, workloads: "storm,tree,attributes", faults: ["15.000 +1.000 wipe-metadata 2", "18.000 +1.000 wipe-metadata 3"])
    /// Slow links, so that there are answers on the way to be lost.
    private static let resets = CanarySetting(
        seconds: 15, workloads: "storm,manifest",
        faults: [(1, 2), (1, 3), (2, 3)].flatMap { ["1.000 +13.000 slow \($0.0) \($0.1) 100", "1.000 +13.000 reset \($0.0) \($0.1) 40"] })
    private static let names = CanarySetting(workloads: "storm,manifest", faults: none)
    private static let bytes = CanarySetting(workloads: "image,append", faults: none)
    private static let links = CanarySetting(workloads: "links", faults: none)
    private static let appends = CanarySetting(workloads: "append", faults: none)
    private static let registers = CanarySetting(workloads: "register", faults: none)
    private static let frozen = CanarySetting(
        seconds: 45, workloads: "tree,append,register", faults: ["2.000 +18.000 freeze-client 1", "22.000 +18.000 freeze-client 2"])
    private static let leaderless = CanarySetting(
        seconds: 20, workloads: "append,tree,register", faults: (0..<5).map { "\(2 + 4 * $0).000 +1.500 kill-leader" })
    private static let rotten = CanarySetting(workloads: "blocks,image", faults: ["3.000 +0.001 rot-blocks 1 3000", "6.000 +0.001 rot-blocks 1 3000"])
    /// The only disk that is quick has a copy, and is lost with the memory of the others.
    private static let lonely = CanarySetting(
        seconds: 16, workloads: "blocks,manifest",
        faults: (0..<3).flatMap {
            let start = 1 + 5 * $0
            return [
                "\(start).000 +4.000 slow-disk 2 2000", "\(start).000 +4.000 slow-disk 3 2000", "\(start + 3).000 +1.000 power-all",
                "\(start + 3).000 +1.000 wipe-blocks 1",
            ]
        })
    private static let absent = CanarySetting(workloads: "blocks,manifest,image", faults: ["2.000 +4.000 kill 2"])
    private static let clientsDie = CanarySetting(
        workloads: "manifest", faults: (0..<9).map { "\($0).500 +0.200 kill-client \($0 % 3 + 1)" })
}
