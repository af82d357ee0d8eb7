package import Model

/// How much of the key space one member holds.
package struct NodeShare: Hashable, Sendable {
    package var node: NodeID
    package var tokens: Int
    /// Fraction of all keys whose first replica it is. The members' add up to 1.
    package var primary: Double
    /// Fraction of all keys of which it holds a copy. The members' add up to the number of copies.
    package var replica: Double

    package init(node: NodeID, tokens: Int, primary: Double, replica: Double) {
        self.node = node
        self.tokens = tokens
        self.primary = primary
        self.replica = replica
    }
}
