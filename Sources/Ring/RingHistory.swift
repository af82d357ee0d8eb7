package import Digest
package import Model

/// The rings of the present layout and of the earlier ones.
package struct RingHistory: Sendable {
    package let current: Ring
    /// Newest first.
    package let earlier: [Ring]
    package let layouts: LayoutHistory
    /// Every member of any of the layouts, ordered by id.
    package let nodes: [NodeID]

    package init(_ layouts: LayoutHistory) {
        self.layouts = layouts
        current = Ring(layouts.current)
        earlier = layouts.earlier.map { Ring($0) }
        var all: Set<NodeID> = []
        for layout in [layouts.current] + layouts.earlier {
            for member in layout.members { all.insert(member.node) }
        }
        nodes = all.sorted()
    }

    /// Where to look for a block, best first, without repetition: the present replicas; the replicas under earlier
    /// layouts, newest first; every other node.
    package func candidates(for key: BlockKey) -> ReadCandidates {
        let replicas = current.successors(of: key)
        var former: [NodeID] = []
        for ring in earlier {
            for node in ring.successors(of: key) where !replicas.contains(node) && !former.contains(node) { former.append(node) }
        }
        return ReadCandidates(
            replicas: replicas, former: former, others: nodes.filter { !replicas.contains($0) && !former.contains($0) })
    }
}

/// Where to look for a block, in three steps; no node is in two of them.
package struct ReadCandidates: Hashable, Sendable {
    /// The replicas under the present layout, in ring order.
    package var replicas: [NodeID]
    /// Further replicas under earlier layouts.
    package var former: [NodeID]
    /// Everybody else.
    package var others: [NodeID]

    package init(replicas: [NodeID], former: [NodeID], others: [NodeID]) {
        self.replicas = replicas
        self.former = former
        self.others = others
    }
}
