package import Model
package import Namespace
package import Runtime

/// The metadata service as a mount sees it: one session, the leader found by itself, commands exactly once, leases.
///
/// A lease on an inode covers its attributes, its content, its extended attributes, its symlink target and, for a directory, its entries, absent
/// ones included. Queries grant shared leases on what they show.
@LoopActor
package protocol MetadataClient: AnyObject, Sendable {
    /// Asks; waits for a leader within the deadline. What the answer shows may be cached while `lease` says so.
    func query(_ query: Query) async throws(MetadataError) -> QueryReply
    /// Has a command carried out once, whatever happens to the leader in between. Commands of one client are carried out in the order of
    /// these calls. A created inode comes with an exclusive lease.
    func perform(_ command: Command) async throws(MetadataError) -> Outcome
    /// As `perform`, for a command that nobody waits for; returns at once. With exclusive leases on everything that it touches it waits for no other
    /// session, and goes before commands of this one that do, where a recall of such a lease waits for it. What `createNumbered` makes counts as leased
    /// exclusively from now on; the directory must not be given back before the outcome is known.
    /// - Parameters:
    ///   - inodes: what it touches.
    ///   - shown: the timestamps that what it changes shows here already, wall-clock nanoseconds; nil: those will be the leader's.
    ///   - completion: called once, later.
    func submit(
        _ command: Command, on inodes: [InodeID], shown: Timestamp?, completion: @escaping @LoopActor (Result<Outcome, MetadataError>) -> Void
    )
    /// Somebody waits for what was submitted: it may be kept back for some milliseconds otherwise, so that more goes together.
    func hasten()
    /// Gets an exclusive lease: nobody else reads or changes the inode until it is recalled. Waits until other holders have flushed and given
    /// theirs back. Returns the attributes as of the grant.
    func acquireExclusive(_ inode: InodeID) async throws(MetadataError) -> Attributes
    /// Whether an exclusive lease is held right now (and the session is alive by the local monotonic clock).
    func holdsExclusive(_ inode: InodeID) -> Bool
    /// Whether what was cached under a lease of `inode` may still be used: the lease was not recalled and the session is alive.
    func holdsLease(_ inode: InodeID) -> Bool
    /// Sets or removes an advisory lock of an owner of this session (flock(2), fcntl(2)). With `waits`, a lock that another one is in the way of is waited
    /// for, over changes of the leader too, until the interrupt is raised; otherwise that is a `.conflict`. Requests about one inode are carried out
    /// in the order of these calls, but for those that wait.
    func setLock(_ inode: InodeID, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async throws(MetadataError) -> LockOutcome
    /// A lock of another owner that is in the way of this one; nil if there is none.
    func testLock(_ inode: InodeID, _ lock: FileLock) async throws(MetadataError) -> FileLock?
    /// Whether the session holds locks of an owner (nil: of anybody) on the inode. During `onSessionLost` still as before.
    func holdsLock(_ inode: InodeID, _ owner: LockOwner?) -> Bool
    /// Gives leases back of inodes that are no longer cached. `closed`: they are no longer open either (see `Recall.stillOpen`).
    func release(_ inodes: [InodeID])
    /// Nanoseconds for which leases are good if nothing is renewed, from now.
    var leaseRemaining: UInt64 { get }
    /// Called when leases must be given back: flush or drop, then return; the inode's lease is gone (or down to shared) when this has returned. The
    /// result says whether the inode is open here, so that an unlink elsewhere keeps it alive.
    var onRecall: (@LoopActor (Recall) async -> RecallAnswer)? { get set }
    /// Called right before the outcome of a command is returned that the leader had carried out earlier: others may have changed since what it
    /// shows of these inodes, so it must not be cached, and nothing that is cached of them may be taken for what it led to.
    var onOutdated: (@LoopActor ([InodeID]) -> Void)? { get set }
    /// Called when the session was lost (expired while cut off, fenced): every cached thing is void, unflushed changes are lost.
    var onSessionLost: (@LoopActor () -> Void)? { get set }
    /// Ends the session in order: everything must be flushed before.
    func close() async
}

package struct QueryReply: Equatable, Sendable {
    package var answer: Answer
    /// Inodes on which a shared lease was granted together with this answer.
    package var leased: [InodeID]

    package init(answer: Answer, leased: [InodeID]) {
        self.answer = answer
        self.leased = leased
    }
}

package struct Recall: Equatable, Sendable {
    package var inode: InodeID
    /// True: an exclusive lease comes down to a shared one (flush, keep clean caches). False: all of it goes.
    package var keepShared: Bool

    package init(inode: InodeID, keepShared: Bool) {
        self.inode = inode
        self.keepShared = keepShared
    }
}

package struct RecallAnswer: Equatable, Sendable {
    /// A file handle of this session is open on the inode. The session must `release` it when the last one is closed.
    package var stillOpen: Bool

    package init(stillOpen: Bool) { self.stillOpen = stillOpen }
}

/// What can go wrong with the metadata service, besides a command's own failure.
package struct MetadataError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// No leader could be reached within the deadline. A command may have been carried out.
        case unavailable
        /// The session is gone: EIO for everything that was not flushed.
        case sessionLost
        /// The other side speaks nonsense.
        case protocolViolation
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
