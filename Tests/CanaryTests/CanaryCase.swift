import Model

/// Where a canary is looked for, and within how many seeds it must be found.
struct CanaryCase: Sendable, CustomStringConvertible {
    let canary: Canary
    /// Rules of which a run with it must break one. That nothing goes on any more (`liveness`) counts only where the product itself stops then.
    let rules: Set<String>
    /// So many seeds, from 1 on.
    let seeds: Int
    let setting: CanarySetting

    init(_ canary: Canary, _ rules: Set<String>, seeds: Int, _ setting: CanarySetting) {
        self.canary = canary
        self.rules = rules
        self.seeds = seeds
        self.setting = setting
    }

    var description: String { canary.rawValue }
}
