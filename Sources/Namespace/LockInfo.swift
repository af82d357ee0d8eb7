import Model

/// One lock as somebody else is shown it.
package struct LockInfo: Equatable, Sendable {
    package var holder: LockHolder
    /// The process that took it, as its own machine numbers it.
    package var process: UInt32
    package var range: LockRange
    package var mode: LockMode

    /// Among locks of one family.
    var order: (UInt64, UInt64, UInt64) { (range.first, holder.session.rawValue, holder.owner.id) }

    package init(holder: LockHolder, process: UInt32, range: LockRange, mode: LockMode) {
        self.holder = holder
        self.process = process
        self.range = range
        self.mode = mode
    }
}
