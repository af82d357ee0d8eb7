package import Bytes
package import Model
package import Namespace
package import Runtime

/// Files as users see them: what an adapter such as FUSE calls. All methods run on the loop; they throw errno values.
@LoopActor
package protocol FileOperations: AnyObject, Sendable {
    func lookup(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply
    /// Nanoseconds for which the kernel may go by the ENOENT that a lookup just ended with; 0: not at all.
    func absenceValidity(_ parent: InodeID, _ name: [UInt8]) -> UInt64
    /// The kernel drops `count` lookups of an inode.
    func forget(_ inode: InodeID, count: UInt64)
    func attributes(_ inode: InodeID) async throws(Errno) -> AttributesReply
    /// Likewise, for whoever goes on to read pages of the kernel's cache: the kernel is told to drop those that are old before this returns.
    func attributesForReader(_ inode: InodeID) async throws(Errno) -> AttributesReply
    /// `size` is truncate(2); `handle` is the open file it came through, if any.
    func setAttributes(_ inode: InodeID, _ change: AttributeChange, size: UInt64?, handle: UInt64?) async throws(Errno) -> AttributesReply
    func readSymlink(_ inode: InodeID) async throws(Errno) -> [UInt8]
    func makeSymlink(_ parent: InodeID, _ name: [UInt8], target: [UInt8], _ caller: Caller) async throws(Errno) -> EntryReply
    func makeNode(_ parent: InodeID, _ name: [UInt8], kind: FileKind, mode: UInt16, device: UInt32, _ caller: Caller) async throws(Errno) -> EntryReply
    func makeDirectory(_ parent: InodeID, _ name: [UInt8], mode: UInt16, _ caller: Caller) async throws(Errno) -> EntryReply
    func unlink(_ parent: InodeID, _ name: [UInt8]) async throws(Errno)
    func removeDirectory(_ parent: InodeID, _ name: [UInt8]) async throws(Errno)
    func rename(_ parent: InodeID, _ name: [UInt8], to newParent: InodeID, _ newName: [UInt8], mode: RenameMode) async throws(Errno)
    func link(_ inode: InodeID, to parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply

    /// `flags` are open(2)'s: O_ACCMODE, O_APPEND, O_TRUNC, O_SYNC, O_DSYNC, O_DIRECT count here.
    func open(_ inode: InodeID, flags: Int32) async throws(Errno) -> OpenReply
    /// The flags of the next write: fcntl(2) may have changed O_APPEND, and pwritev2(2) wishes O_DSYNC for one write.
    func setFlags(_ inode: InodeID, handle: UInt64, flags: Int32)
    func create(_ parent: InodeID, _ name: [UInt8], mode: UInt16, flags: Int32, _ caller: Caller) async throws(Errno) -> (EntryReply, OpenReply)
    /// Makes a file without a name and opens it (O_TMPFILE, open(2)). One that `link` gives a name is as if made under it; any other goes with its last
    /// handle. It has from `parent` what a file made there would have.
    func createTemporary(_ parent: InodeID, mode: UInt16, flags: Int32, _ caller: Caller) async throws(Errno) -> (EntryReply, OpenReply)
    /// Up to `count` bytes as slices to be sent one after another; shorter only at the end of the file.
    func read(_ inode: InodeID, handle: UInt64, offset: UInt64, count: Int) async throws(Errno) -> [Slice]
    /// Returns the number of bytes taken, always all of them.
    func write(_ inode: InodeID, handle: UInt64, offset: UInt64, _ content: Slice) async throws(Errno) -> Int
    /// Takes set-id bits and capabilities of a file away, as a change of its content or owner does. The kernel leaves that to the filesystem
    /// (FUSE_HANDLE_KILLPRIV_V2, linux/fuse.h), which alone knows what bits another machine has just set.
    func dropPrivileges(_ inode: InodeID, _ changer: Changer) async throws(Errno)
    /// Whether the write through this handle that returned last met any: hardly ever.
    func mayHavePrivileges(_ inode: InodeID, handle: UInt64) -> Bool
    /// close(2) of one descriptor: reports errors of earlier background writes.
    func flush(_ inode: InodeID, handle: UInt64) async throws(Errno)
    func release(_ inode: InodeID, handle: UInt64) async
    func sync(_ inode: InodeID, handle: UInt64, dataOnly: Bool) async throws(Errno)
    func allocate(_ inode: InodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) async throws(Errno)
    /// lseek(2) with SEEK_DATA (3) or SEEK_HOLE (4).
    func seek(_ inode: InodeID, handle: UInt64, offset: UInt64, whence: Int32) async throws(Errno) -> UInt64
    func copyRange(
        from source: InodeID, handle: UInt64, offset: UInt64, to target: InodeID, targetHandle: UInt64, targetOffset: UInt64, count: Int
    ) async throws(Errno) -> Int

    /// Sets (`mode` nil: removes) an advisory lock: flock(2), F_SETLK and F_OFD_SETLK of fcntl(2). With `waits` a lock in the way is waited for until
    /// the interrupt is raised (EINTR). EAGAIN, EDEADLK, ENOLCK.
    func setLock(_ inode: InodeID, handle: UInt64, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async throws(Errno)
    /// F_GETLK: a lock that is in the way of this one.
    func testLock(_ inode: InodeID, handle: UInt64, _ lock: FileLock) async throws(Errno) -> FileLock?
    /// Some descriptor of the file was closed by a process: its byte ranges are free (fcntl(2)). Locks of an open file go with `release`.
    func closeLocks(_ inode: InodeID, owner: UInt64) async

    func openDirectory(_ inode: InodeID) async throws(Errno) -> UInt64
    /// Entries from `position` on (0: the start), "." and ".." included; each carries the position after it. The adapter takes as many as fit and
    /// asks again. A snapshot per handle: no entry twice, none lost. With `plus` the adapter tells by `retain` which ones it handed to the kernel.
    func readDirectory(_ inode: InodeID, handle: UInt64, position: UInt64, plus: Bool) async throws(Errno) -> [DirectoryItem]
    func retain(_ inode: InodeID)
    func releaseDirectory(_ inode: InodeID, handle: UInt64) async
    func syncDirectory(_ inode: InodeID) async throws(Errno)

    func statistics() async throws(Errno) -> FilesystemStatistics
    /// `groups`: those of a caller who may leave the set-group-id bit, when an access control list is set, to files of these groups only; nil: to all
    /// (CAP_FSETID).
    func setXattr(_ inode: InodeID, name: [UInt8], value: [UInt8], mode: XattrMode, groups: [UInt32]?) async throws(Errno)
    func xattr(_ inode: InodeID, name: [UInt8]) async throws(Errno) -> [UInt8]
    func xattrNames(_ inode: InodeID) async throws(Errno) -> [[UInt8]]
    func removeXattr(_ inode: InodeID, name: [UInt8]) async throws(Errno)

    /// Flushes everything (sync(2), unmount).
    func syncAll() async throws(Errno)
    /// Told before an adapter's kernel caches must go: see `KernelCache`.
    var kernelCache: (any KernelCache)? { get set }
}

/// The kernel's caches of a mount, to be told about changes made elsewhere.
@LoopActor
package protocol KernelCache: AnyObject, Sendable {
    /// Returns when cached attributes of the inode are gone. Its pages are used only if fresh attributes have the same size and time of change. Never
    /// waits for long for an operation of the mount.
    /// - Returns: false if the kernel does not know the inode; which it may when it has taken in an answer that it was sent before.
    func invalidate(_ inode: InodeID) async -> Bool
    /// Has cached pages of the inode dropped soon; for content that changed while size and time of change did not.
    func dropPages(_ inode: InodeID)
    /// Likewise; returns when they are gone, or after some milliseconds: requests that hold pages may wait for the caller.
    func dropPagesNow(_ inode: InodeID) async
    /// Returns when cached entries of the directory, absent ones included, will be looked up again.
    func invalidateEntries(of directory: InodeID) async
    /// Has those of the inodes forgotten that nobody uses. Returns when that was tried; the kernel tells by `forget` which ones. Where the kernel has no
    /// such wish to be told, nothing happens.
    func prune(_ inodes: [InodeID]) async
}

/// Who asks, from the kernel.
package struct Caller: Equatable, Sendable {
    package var uid: UInt32
    package var gid: UInt32
    /// Permission bits taken off the mode of what is made, unless the directory has a default access control list.
    package var umask: UInt16

    package init(uid: UInt32, gid: UInt32, umask: UInt16 = 0) {
        self.uid = uid
        self.gid = gid
        self.umask = umask
    }
}

/// Who changes content or owner of a file, and so takes privileges away from it (setattr_should_drop_suidgid, fs/attr.c).
package struct Changer {
    /// Set-id bits stay: content is changed with CAP_FSETID.
    package var keepsSetID: Bool
    /// Whether the caller belongs to a group, or may act as if (CAP_FSETID). Asked for files with a set-group-id bit only.
    package var belongs: (_ gid: UInt32) -> Bool

    package init(keepsSetID: Bool, belongs: @escaping (_ gid: UInt32) -> Bool) {
        self.keepsSetID = keepsSetID
        self.belongs = belongs
    }

    /// A mode after the change. Set-group-id without execution by the group is no privilege (it marked mandatory locking) and stays if the caller could
    /// set it.
    package func mode(_ mode: UInt16, gid: UInt32) -> UInt16 {
        guard !keepsSetID, mode & 0o6000 != 0 else { return mode }
        let keepsGroup = mode & 0o2010 == 0o2000 && belongs(gid)
        return mode & ~(keepsGroup ? 0o4000 : 0o6000)
    }
}

/// A system error number, errno(3).
package struct Errno: Error, Equatable, Sendable, RawRepresentable {
    package let rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }
}

package struct AttributesReply: Equatable, Sendable {
    package var attributes: Attributes
    /// Nanoseconds for which the kernel may use them without asking; 0: not at all.
    package var validity: UInt64

    package init(attributes: Attributes, validity: UInt64) {
        self.attributes = attributes
        self.validity = validity
    }
}

package struct EntryReply: Equatable, Sendable {
    package var attributes: Attributes
    /// Nanoseconds for which the kernel may use the attributes without asking.
    package var attributesValidity: UInt64
    /// Nanoseconds for which the kernel may use the name without asking.
    package var entryValidity: UInt64

    package init(attributes: Attributes, attributesValidity: UInt64, entryValidity: UInt64) {
        self.attributes = attributes
        self.attributesValidity = attributesValidity
        self.entryValidity = entryValidity
    }
}

package struct OpenReply: Equatable, Sendable {
    package var handle: UInt64
    /// The kernel's pages of this file are still right.
    package var keepCache: Bool
    /// The kernel must not cache pages of this file.
    package var direct: Bool

    package init(handle: UInt64, keepCache: Bool, direct: Bool) {
        self.handle = handle
        self.keepCache = keepCache
        self.direct = direct
    }
}

package struct DirectoryItem: Equatable, Sendable {
    package var name: [UInt8]
    package var inode: InodeID
    package var kind: FileKind
    /// The position after this entry.
    package var next: UInt64
    /// With `plus`: the attributes, unless they are not known without asking another session.
    package var entry: EntryReply?

    package init(name: [UInt8], inode: InodeID, kind: FileKind, next: UInt64, entry: EntryReply?) {
        self.name = name
        self.inode = inode
        self.kind = kind
        self.next = next
        self.entry = entry
    }
}

/// For statfs(2). Bytes are of content: what may still be written, replication taken into account.
package struct FilesystemStatistics: Equatable, Sendable {
    package var blockSize: UInt32
    package var totalBytes: UInt64
    package var freeBytes: UInt64
    package var inodes: UInt64

    package init(blockSize: UInt32, totalBytes: UInt64, freeBytes: UInt64, inodes: UInt64) {
        self.blockSize = blockSize
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
        self.inodes = inodes
    }
}
