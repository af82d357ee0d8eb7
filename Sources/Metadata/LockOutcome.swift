package import Namespace

/// What became of a request for a lock.
package enum LockOutcome: Equatable, Sendable {
    case granted
    /// EAGAIN. The lock that stands in the way; its process is 0 if it is another session's.
    case conflict(FileLock)
    /// EDEADLK.
    case deadlock
    /// ENOLCK.
    case exhausted
    /// EINTR: nothing was changed.
    case interrupted
}
