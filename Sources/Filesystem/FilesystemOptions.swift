import Runtime

/// Limits and sizes of one `DistributedFilesystem`.
package struct FilesystemOptions: Sendable {
    /// Bytes of a full block; a power of two, 64 KiB ... `Limits.blockBytes`. Of the filesystem, the same at all mounts.
    package var blockSize = 1 << 20
    /// Extents of a region (`Limits.regionBytes`) above which blocks of it are rewritten whole.
    package var extentsPerRegion = 2048
    /// Bytes of block content in memory, clean and dirty together.
    package var cacheBytes = 256 << 20
    /// Bytes of data not yet committed; writers wait above it. Part of `cacheBytes`.
    package var dirtyBytes = 128 << 20
    /// A file with this many uncommitted bytes is committed in the background without waiting for its age.
    package var checkpointBytes = 32 << 20
    /// Nanoseconds after which a change is committed in the background.
    package var dirtyAge = 5 * Nanoseconds.second
    /// Bytes read ahead of a sequential reader, at most.
    package var prefetchBytes = 32 << 20
    /// Blocks being put at a time.
    package var putsInFlight = 32
    /// Files being committed at a time in the background.
    package var commitsInFlight = 32
    /// Inodes kept that neither the kernel nor a handle refers to.
    package var idleInodes = 32_768
    /// Inodes kept that the kernel knows, as far as it forgets what nobody uses (`KernelCache.prune`).
    package var inodes = 262_144
    /// Cached names, extents and extended attributes in all; 128 bytes of content that lie in an inode count as one.
    package var cachedItems = 1_000_000
    /// Names held of one directory, beyond which it is not held complete and those of long ago are forgotten.
    package var directoryNames = 65_536
    /// Nanoseconds for which the kernel may use names and attributes without asking; what is left of the lease limits it. Only above 0 if
    /// `KernelCache` can invalidate while requests of the same inode wait.
    package var kernelEntryValidity: UInt64 = 0
    package var kernelAttributeValidity: UInt64 = 0
    /// Nanoseconds for which a recall tries to commit before the changes are given up with an error. Below the session's time-to-live.
    package var recallFlushTime = 8 * Nanoseconds.second

    package init() {}
}
