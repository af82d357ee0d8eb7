/// A value that is read, and replaced, by who holds a lock.
package struct LockedModel: SequentialModel {
    package enum Call: Equatable, Sendable {
        /// `found`: what was read under the lock, nil if it never came to that; `write`: what was written then.
        case section(found: UInt64?, write: UInt64)
        case read
    }

    package let initial: UInt64 = 0

    package init() {}

    /// Also a write of which nobody knows whether it happened can only have happened while the lock was held: before anybody else's.
    package func next(_ state: UInt64, _ call: Call, _ outcome: UInt64?) -> [UInt64] {
        switch call {
        case .section(let found, let write): found == state ? [write] : []
        case .read: outcome == nil || outcome == state ? [state] : []
        }
    }

    package func describe(_ state: UInt64) -> String { "value \(state)" }

    package func describe(_ call: Call, _ outcome: UInt64?) -> String {
        switch call {
        case .section(let found, let write): "found \(found.map { "\($0)" } ?? "nothing"), wrote \(write)\(outcome == nil ? ", not known" : "")"
        case .read: "read \(outcome.map { "\($0)" } ?? "nothing")"
        }
    }
}
