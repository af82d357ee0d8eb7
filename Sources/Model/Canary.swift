/// Faults that are put into the product on purpose, one at a time, to see that the simulator finds them: a checker that cannot fail proves nothing.
///
/// The names exist in every build; the faults themselves, and the switch, only where `CANARIES` is defined, which is in debug builds.
package enum Canary: String, CaseIterable, Sendable {
    // Consensus and its log

    /// A leader counts an entry as committed when its own disk has it (against figure 2 of the Raft paper).
    case commitsWithoutQuorum
    /// A server votes for a candidate whose log is behind its own (against §5.4.1 of the Raft paper).
    case electsOutdated
    /// A server forgets in the middle of a term whom it voted for (against §5.2 of the Raft paper).
    case votesTwice
    /// Terms, votes and entries count as durable when they are in the page cache.
    case skipsLogSync
    /// The log is compacted without making the state durable that replaces it.
    case compactsBeforeFlush
    /// A snapshot lacks the last directory entry of each piece.
    case snapshotsInPart

    // Namespace

    /// A command that is sent again is carried out again.
    case appliesRetriesTwice
    /// The id of the newest inode is used again after it was removed.
    case reusesInodes
    /// A second extent that refers to a block is not counted.
    case miscountsReferences
    /// Files that lost their last name while they were open are never freed.
    case leaksOrphans

    // Sessions and leases

    /// An exclusive lease is granted while others hold one.
    case sharesExclusiveLeases
    /// A client answers a recall without writing back or forgetting anything.
    case dropsRecalls
    /// A client uses its leases after their end, for example when it was frozen.
    case cachesPastLease
    /// The leases of a session that was not heard of go to others, but the session lives on, with what it has cached and not written back.
    case ignoresFencing
    /// A new leader grants leases before the sessions of the old one have said what they hold.
    case skipsGracePeriod
    /// A lock is granted although one of another session conflicts with it.
    case grantsConflictingLocks
    /// A file is used as before after the mount lost the locks that it held of it.
    case usesLostLocks

    // Blocks

    /// The block store counts a block as durable when it is in the page cache.
    case skipsBlockSync
    /// Neither the store compares a block with its checksums nor the reader with its key.
    case ignoresMismatch
    /// A put is acknowledged when one replica has the block.
    case acknowledgesOneCopy
    /// Replicas that missed a block are not noted.
    case forgetsOwedCopies

    // Files

    /// fsync(2) starts the commit and does not wait for it.
    case syncsTooEarly
    /// The place of an append is found some time before the bytes go there.
    case appendsAtStaleEnd
    /// A rename that replaces a file removes that file first.
    case renamesInTwoSteps

    #if CANARIES
        /// The one that is in force. Set before anything else runs, and never changed.
        nonisolated(unsafe) package static var active: Canary?

        /// Whether this fault is to happen.
        package var isActive: Bool { Self.active == self }
    #endif
}
