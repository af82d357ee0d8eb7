import Namespace
import Runtime

/// What a session has changed in one inode and not committed: the newest layer, the one on its way, and what went wrong.
@LoopActor
final class DirtyFile {
    /// Changes since the last commit began.
    var pending = Layer()
    /// Frozen changes whose commit is on its way.
    var committing: Layer?
    /// One commit at a time; never held while waiting for a lease.
    let commitLock = AsyncLock()
    /// Counts changes; what a sync has to wait for.
    private(set) var changes: UInt64 = 0
    /// `changes` as of the last acknowledged commit.
    var committed: UInt64 = 0
    /// When the oldest uncommitted change was made (`Clock.now`).
    var since: UInt64 = 0
    /// Not before this time is a failed commit tried again in the background.
    var retryAfter: UInt64 = 0
    /// Failed background attempts in a row.
    var failures: UInt64 = 0

    var isDirty: Bool { !pending.isEmpty || committing != nil }

    func noteChange(now: UInt64) {
        if !isDirty || changes == committed { since = now }
        changes += 1
    }

    /// Puts the layer that could not be committed back under the newer one.
    func thaw() {
        guard var layer = committing else { return }
        layer.absorb(pending)
        pending = layer
        committing = nil
    }

    /// Gives up all changes.
    func drop() {
        pending = Layer()
        committing = nil
        committed = changes
        failures = 0
        retryAfter = 0
    }
}
