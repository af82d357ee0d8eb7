/// Bounds of the core. What is over them is refused or waits; nothing grows without one.
package enum Limits {
    /// Bytes of one entry's payload.
    package static let payload = 16 << 20
    /// Servers of a group, learners included.
    package static let members = 64
    /// Bytes of the entries in one append message (a single larger entry travels alone).
    package static let batchBytes = 1 << 20
    /// Entries in one append message.
    package static let batchEntries = 1024
    /// Append messages to one follower that are not answered yet.
    package static let inflightMessages = 64
    /// Bytes in those messages.
    package static let inflightBytes = 8 << 20
    /// Bytes of entries that the leader accepted and that are not committed yet.
    package static let uncommittedBytes = 64 << 20
    /// Proposals that the leader accepted and that are not committed yet.
    package static let uncommittedProposals = 16384
    /// Reads that wait for a round of probes.
    package static let waitingReads = 16384
    /// Terms and indexes from outside above this are lies: no group lives long enough, and arithmetic on what is below cannot overflow.
    package static let number: UInt64 = 1 << 62
}
