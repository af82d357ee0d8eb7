import Model
import Namespace
import Runtime

/// Changes of names in one directory: those under way, and when the directory is worth an exclusive lease, under which nobody waits for them.
///
/// Whoever changes one name pays no more than that; whoever goes on gets the lease. A directory that others want too is asked for less and less often,
/// since every such lease has to be recalled.
@LoopActor
final class NameDelegation {
    private static let patienceMin = 4
    private static let patienceMax = 4096

    /// Names that changes under way lead to something else, which nobody waits for.
    var pending: [Name: Int] = [:]
    /// Of the directory, as they will be when those changes have settled, times by this machine's clock. nil: not known.
    var attributes: Attributes?
    /// Changes under way that their callers wait for.
    var awaited = 0
    /// Last time a name may have changed, by the filesystem's stamp, without an entry of the cache that says to what.
    var doubtedAt: UInt64

    /// Changes in a row that had to wait, since the last recall.
    private var waits = 0
    private var patience = patienceMin
    private var isAsking = false

    init(doubtedAt: UInt64) { self.doubtedAt = doubtedAt }

    /// A change has waited for the leader.
    /// - Returns: whether to ask for the lease now; then `answered` must follow.
    func noteWait() -> Bool {
        guard !isAsking else { return false }
        waits += 1
        guard waits >= patience else { return false }
        isAsking = true
        waits = 0
        return true
    }

    /// The lease was granted, or not.
    func answered() { isAsking = false }

    /// Somebody else wants the directory.
    func noteRecall(wasExclusive: Bool) {
        waits = 0
        guard wasExclusive else { return }
        patience = min(patience * 2, Self.patienceMax)
    }
}
