/// What is run to find a canary, apart from seeds: faults and load that suit it, so that a few short runs are enough.
struct CanarySetting: Hashable, Sendable, CustomStringConvertible {
    var nodes = 3
    var clients = 3
    /// Simulated seconds with load and faults.
    var seconds = 10
    /// Kinds of `dhtfs-simulate --workloads`.
    var workloads: String
    /// Lines of a fault script; nil for the faults that the seeds draw.
    var faults: [String]?

    var description: String { "\(clients) clients, \(workloads), \(seconds) s, faults: \(faults?.joined(separator: "; ") ?? "drawn")" }

    /// The command line, without seeds.
    func arguments(script: String) -> [String] {
        ["--nodes", "\(nodes)", "--clients", "\(clients)", "--seconds", "\(seconds)", "--workloads", workloads] + (faults == nil ? [] : ["--faults", script])
    }
}
