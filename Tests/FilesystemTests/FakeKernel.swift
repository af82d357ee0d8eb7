import Filesystem
import Model
import Runtime

/// Notes what it is told.
@LoopActor
final class FakeKernel: KernelCache {
    private(set) var invalidated: [InodeID] = []
    private(set) var directories: [InodeID] = []

    private(set) var dropped: [InodeID] = []
    private(set) var droppedNow: [InodeID] = []
    /// It has yet to take in what it was sent, and knows no inode.
    var isBehind = false

    func invalidate(_ inode: InodeID) async -> Bool {
        if inode != .root { invalidated.append(inode) }
        return !isBehind
    }
    func dropPages(_ inode: InodeID) { dropped.append(inode) }
    func dropPagesNow(_ inode: InodeID) async { droppedNow.append(inode) }
    func invalidateEntries(of directory: InodeID) async { directories.append(directory) }

    /// Forgets all of them.
    func prune(_ inodes: [InodeID]) async {
        guard let files else { return }
        for inode in inodes { files.forget(inode, count: .max) }
    }

    /// Where what is forgotten is told; nil: nothing is.
    var files: DistributedFilesystem?
}
