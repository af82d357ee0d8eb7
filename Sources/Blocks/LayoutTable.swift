package import Ring
package import Runtime

/// The layouts this process knows, and the rings they make. Whoever learns of a newer one gives it to `adopt`.
@LoopActor
package final class LayoutTable: Sendable {
    package private(set) var rings: RingHistory
    private var observers: [@LoopActor (RingHistory) -> Void] = []
    private var newestSeen: UInt64
    /// Called when another process turned out to know a newer layout; once per version. It is to be fetched and adopted.
    package var onNewer: (@LoopActor (UInt64) -> Void)?

    package init(_ layouts: LayoutHistory = LayoutHistory(.empty)) {
        rings = RingHistory(layouts)
        newestSeen = layouts.current.version
    }

    package var current: Ring { rings.current }

    /// Takes over `layouts` unless they are older than what is known. Returns whether anything changed.
    @discardableResult
    package func adopt(_ layouts: LayoutHistory) -> Bool {
        guard layouts.current.version >= rings.layouts.current.version, layouts != rings.layouts else { return false }
        rings = RingHistory(layouts)
        newestSeen = max(newestSeen, layouts.current.version)
        for observer in observers { observer(rings) }
        return true
    }

    /// Calls `body` now and after every change.
    package func observe(_ body: @escaping @LoopActor (RingHistory) -> Void) {
        observers.append(body)
        body(rings)
    }

    /// Another process knows layout `version`.
    package func noteVersion(_ version: UInt64) {
        guard version > newestSeen else { return }
        newestSeen = version
        onNewer?(version)
    }
}
