package import Runtime

/// What was on a `MemoryDisk` at some time. Pages are shared until they change.
@LoopActor
package final class MemoryDiskImage {
    let root: MemoryDirectory

    init(root: MemoryDirectory) { self.root = root }
}
