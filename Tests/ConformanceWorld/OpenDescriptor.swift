import Filesystem
import Model
import Runtime

/// An open file description of the model: shared by duplicates.
@LoopActor
final class OpenDescriptor {
    enum Kind { case file, directory, path }

    let inode: InodeID
    let kind: Kind
    /// Of the filesystem; 0 for a path.
    let handle: UInt64
    var flags: Int32
    var offset: Int64 = 0
    /// Descriptors that share it.
    var references = 1

    init(inode: InodeID, kind: Kind, handle: UInt64, flags: Int32) {
        self.inode = inode
        self.kind = kind
        self.handle = handle
        self.flags = flags
    }
}
