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
    /// What lies in the directory was listed since it is held exclusively, so that it could come so too.
    private var isListed = false

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

    /// Where names are being changed all around, the first change is reason enough.
    /// - Parameter isHeld: the directory is held exclusively already.
    /// - Returns: whether to ask for the lease, or for what lies in the directory, now; then `answered` must follow.
    func noteFirst(isHeld: Bool) -> Bool {
        guard !isAsking, patience == Self.patienceMin, !isHeld || !isListed else { return false }
        isAsking = true
        return true
    }

    /// The lease was granted and the directory was listed, or not.
    func answered(isListed: Bool) {
        isAsking = false
        self.isListed = isListed
    }

    /// Somebody else wants the directory.
    func noteRecall(wasExclusive: Bool) {
        waits = 0
        isListed = false
        guard wasExclusive else { return }
        patience = min(patience * 2, Self.patienceMax)
    }
}
