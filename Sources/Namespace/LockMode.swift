/// How a lock is held.
package enum LockMode: UInt8, Sendable, CaseIterable {
    /// LOCK_SH, F_RDLCK: any number of owners.
    case shared = 0
    /// LOCK_EX, F_WRLCK: one owner.
    case exclusive = 1

    package func conflicts(with other: LockMode) -> Bool { self == .exclusive || other == .exclusive }
}
