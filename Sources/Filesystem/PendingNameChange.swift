import Model
import Namespace
import Runtime

/// A change of names that its caller was told is done, on its way to the leader.
@LoopActor
final class PendingNameChange {
    /// The directories and the files whose links or names it changes; the session held all of them exclusively when it began.
    let touched: [CachedInode]
    let names: [(directory: CachedInode, name: Name)]
    /// The inode that it makes.
    let made: CachedInode?
    /// The outcome has been taken in.
    let settled = AsyncEvent()

    /// All that it touches or makes.
    var inodes: [CachedInode] { made.map { touched + [$0] } ?? touched }

    init(touched: [CachedInode], names: [(directory: CachedInode, name: Name)], made: CachedInode?) {
        self.touched = touched
        self.names = names
        self.made = made
        made?.creation = self
        for inode in touched {
            inode.pendingChanges += 1
            inode.pins += 1
        }
        for (directory, name) in names { directory.delegation?.pending[name, default: 0] += 1 }
    }

    /// The leader has answered.
    func end() {
        made?.creation = nil
        for inode in touched {
            inode.pendingChanges -= 1
            inode.pins -= 1
        }
        for (directory, name) in names {
            guard let delegation = directory.delegation, let count = delegation.pending[name] else { continue }
            delegation.pending[name] = count > 1 ? count - 1 : nil
        }
    }
}
