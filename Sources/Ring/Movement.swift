package import Model

/// Blocks that a change of layout moves from one node to another.
package struct Movement: Hashable, Sendable {
    struct Pair: Hashable {
        var source: NodeID
        var target: NodeID
    }

    package var source: NodeID
    package var target: NodeID
    /// Fraction of the key space.
    package var fraction: Double

    package init(source: NodeID, target: NodeID, fraction: Double) {
        self.source = source
        self.target = target
        self.fraction = fraction
    }
}
