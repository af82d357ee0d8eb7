import Model

extension Configuration {
    /// The group of a server that knows nothing yet.
    package static let unknown = Configuration(voters: [], learners: [])

    /// Whether this can be the configuration of a group: somebody votes, nobody appears twice, no id is 0, at most `Limits.members`.
    package var isValid: Bool {
        guard !voters.isEmpty, voters.count <= Limits.members, learners.count <= Limits.members - voters.count else { return false }
        var seen: Set<NodeID> = [NodeID(rawValue: 0)]
        return voters.allSatisfy { seen.insert($0).inserted } && learners.allSatisfy { seen.insert($0).inserted }
    }

    /// How many servers join, leave or change between voting and learning from `self` to `other`.
    package func changes(to other: Configuration) -> Int {
        func standing(of server: NodeID, in configuration: Configuration) -> Int {
            configuration.voters.contains(server) ? 2 : configuration.learners.contains(server) ? 1 : 0
        }
        return Set(voters + learners + other.voters + other.learners).count { standing(of: $0, in: self) != standing(of: $0, in: other) }
    }
}
