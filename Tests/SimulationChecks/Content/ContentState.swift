/// A file's content, and what of it may be lost.
package struct ContentState: Hashable, Sendable {
    package struct Pending: Hashable, Sendable {
        var change: ContentChange
        var handle: UInt64
    }

    /// What can no longer be lost: synced, or seen by somebody else than who wrote it.
    var kept = CellMap()
    /// What everybody sees: `kept` with `pending`.
    var seen = CellMap()
    /// Changes of `holder` in their order.
    var pending: [Pending] = []
    var holder: ClientID?
    /// Handles whose changes were lost and that have not been told, sorted.
    var owed: [UInt64] = []
    /// Clients that are gone, sorted; only those with calls open.
    var gone: [ClientID] = []

    package init() {}

    /// Nothing of what is seen can be lost.
    mutating func keep() {
        guard !pending.isEmpty else { return }
        kept = seen
        pending = []
        holder = nil
    }
}
