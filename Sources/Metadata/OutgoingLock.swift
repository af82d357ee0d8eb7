import Model
import Namespace
import Runtime

/// A request for a lock from the call to its outcome.
@LoopActor
final class OutgoingLock {
    let inode: InodeID
    let lock: FileLock
    let waits: Bool
    /// Monotonic nanoseconds after which the caller is told that nobody answered; not counted while the leader has it among those that wait.
    var deadline: UInt64

    /// The number under which the leader of `term` knows it; nil before it was sent to one.
    var number: UInt64?
    var term: UInt64 = 0
    /// The number of the request that cancels it.
    var cancelNumber: UInt64?
    /// The leader has it among those that wait.
    var isQueued = false
    /// The leader told that it is granted before its answer that it waits arrived.
    var isGrantedEarly = false
    /// The leader has granted it, and it is to be found out whether the session lives.
    var isGranted = false
    /// A signal asks for its end.
    var isUnwanted = false
    /// The caller was given an answer before the leader's was known: whatever comes is undone.
    var isAbandoned = false
    private(set) var result: Result<LockOutcome, MetadataError>?
    private var waiter: UnsafeContinuation<Result<LockOutcome, MetadataError>, Never>?

    init(inode: InodeID, lock: FileLock, waits: Bool, deadline: UInt64) {
        self.inode = inode
        self.lock = lock
        self.waits = waits
        self.deadline = deadline
    }

    func wait() async throws(MetadataError) -> LockOutcome {
        if let result { return try result.get() }
        return try await withUnsafeContinuation { waiter = $0 }.get()
    }

    /// Gives the caller an answer while the leader's is not known.
    func abandon(_ result: Result<LockOutcome, MetadataError>) {
        guard self.result == nil else { return }
        isAbandoned = true
        finish(result)
    }

    func finish(_ result: Result<LockOutcome, MetadataError>) {
        guard self.result == nil else { return }
        self.result = result
        waiter?.resume(returning: result)
        waiter = nil
    }
}
