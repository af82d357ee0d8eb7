import Model

/// Canaries, where each is looked for, and the bound: more seeds than were needed when the table was made.
enum CanaryTable {
    static let cases: [CanaryCase] = consensus + namespace + leases + blocks + files

    private static let consensus = [
        CanaryCase(.commitsWithoutQuorum, ["liveness", "lost", "names", "inodeReused", "replicas"], seeds: 5, deposed),
        CanaryCase(.electsOutdated, ["inodeReused", "lost", "names", "replicas"], seeds: 4, lagging),
        CanaryCase(.votesTwice, ["leaders"], seeds: 3, divided),
        CanaryCase(.skipsLogSync, ["liveness", "lost", "names", "replicas"], seeds: 3, powerless),
        CanaryCase(.compactsBeforeFlush, ["liveness", "lost", "names", "replicas"], seeds: 3, restarts),
        CanaryCase(.snapshotsInPart, ["replicas"], seeds: 3, wiped),
    ]

    private static let namespace = [
        CanaryCase(.appliesRetriesTwice, ["names", "error", "lost"], seeds: 3, resets),
        CanaryCase(.reusesInodes, ["inodeReused"], seeds: 9, names),
        CanaryCase(.miscountsReferences, ["namespace"], seeds: 3, bytes),
        CanaryCase(.leaksOrphans, ["namespace"], seeds: 3, links),
    ]

    private static let leases = [
        CanaryCase(.grantsConflictingLocks, ["locks"], seeds: 3, lockUsers),
        CanaryCase(.usesLostLocks, ["locks"], seeds: 12, frozenLockUsers),
        CanaryCase(.sharesExclusiveLeases, ["content"], seeds: 3, appends),
        CanaryCase(.dropsRecalls, ["content", "register"], seeds: 1, shared),
        CanaryCase(.skipsGracePeriod, ["content", "register"], seeds: 4, changing),
        CanaryCase(.cachesPastLease, ["names", "content", "register"], seeds: 10, frozen),
        CanaryCase(.ignoresFencing, ["names", "content", "register"], seeds: 8, frozen),
    ]

    private static let blocks = [
        CanaryCase(.skipsBlockSync, ["block", "lost", "copies", "liveness"], seeds: 3, powerlessBlocks),
        CanaryCase(.ignoresMismatch, ["block", "content", "neverWritten"], seeds: 3, rotten),
        CanaryCase(.acknowledgesOneCopy, ["block", "lost", "copies", "liveness"], seeds: 3, lonely),
        CanaryCase(.forgetsOwedCopies, ["copies"], seeds: 3, absent),
    ]

    private static let files = [
        CanaryCase(.appendsAtStaleEnd, ["content"], seeds: 3, appends),
        CanaryCase(.syncsTooEarly, ["content", "notPrefix", "lost"], seeds: 4, dying),
        CanaryCase(.renamesInTwoSteps, ["names", "register", "lost"], seeds: 3, plain),
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
    /// Two servers that do not hear each other stand for election when the third one, far away from both, comes back.
    private static let divided = CanarySetting(
        seconds: 60, workloads: "storm",
        faults: ["1.000 +58.000 cut 1 2", "1.000 +58.000 slow 1 3 300", "1.000 +58.000 slow 2 3 300"] + (0..<8).map { "\(2 + 7 * $0).000 +1.000 kill 3" })
    private static let changing = CanarySetting(
        seconds: 14, workloads: "register,append", faults: (0..<4).map { "\(2 + 3 * $0).000 +1.000 kill-leader" })
    /// Clients die while nothing can be committed.
    private static let dying = CanarySetting(
        seconds: 30, workloads: "append,image,manifest",
        faults: (0..<5).flatMap { round in
            ["\(4 + 5 * round).000 +1.500 kill-leader"] + (1...3).map { "\(4 + 5 * round).900 +0.300 kill-client \($0)" }
        })
    private static let powerless = CanarySetting(workloads: "manifest,storm", faults: ["4.000 +1.000 power-all", "8.000 +1.000 power-all"])
    private static let powerlessBlocks = CanarySetting(workloads: "manifest,blocks", faults: ["4.000 +1.000 power-all", "8.000 +1.000 power-all"])
    /// An orderly stop compacts the log.
    private static let restarts = CanarySetting(
        clients: 6, workloads: "storm,manifest,links", faults: (1...3).map { "4.000 +3.000 restart \($0)" } + ["6.000 +2.000 power-all"])
    private static let wiped = CanarySetting(
        clients: 6, seconds: 20, workloads: "storm,tree,attributes", faults: ["15.000 +1.000 wipe-metadata 2", "18.000 +1.000 wipe-metadata 3"])
    /// Slow links, so that there are answers on the way to be lost.
    private static let resets = CanarySetting(
        seconds: 15, workloads: "storm,manifest",
        faults: [(1, 2), (1, 3), (2, 3)].flatMap { ["1.000 +13.000 slow \($0.0) \($0.1) 100", "1.000 +13.000 reset \($0.0) \($0.1) 40"] })
    private static let names = CanarySetting(workloads: "storm,manifest", faults: none)
    private static let plain = CanarySetting(workloads: "storm,tree,register", faults: none)
    private static let bytes = CanarySetting(workloads: "image,append", faults: none)
    private static let links = CanarySetting(workloads: "links", faults: none)
    private static let shared = CanarySetting(workloads: "append,register", faults: none)
    private static let lockUsers = CanarySetting(workloads: "locks", faults: none)
    private static let frozenLockUsers = CanarySetting(
        seconds: 45, workloads: "locks", faults: ["2.000 +18.000 freeze-client 1", "22.000 +18.000 freeze-client 2"])
    private static let appends = CanarySetting(workloads: "append", faults: none)
    private static let frozen = CanarySetting(
        seconds: 45, workloads: "tree,append,register", faults: ["2.000 +18.000 freeze-client 1", "22.000 +18.000 freeze-client 2"])
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
}
