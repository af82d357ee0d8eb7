import Glibc
import Metadata
package import Model
package import Namespace
import Runtime
import Telemetry

/// Opening, closing, attributes.
extension DistributedFilesystem {
    package func open(_ id: InodeID, flags: Int32) async throws(Errno) -> OpenReply {
        let inode = table.obtain(id)
        inode.pins += 1
        defer { inode.pins -= 1 }
        let attributes = try await openable(inode)
        guard attributes.kind == .file else { throw attributes.kind == .directory ? .isDirectory : .invalid }
        // Also with O_RDONLY: POSIX leaves that open, Linux truncates and has checked that the caller may write.
        if flags & O_TRUNC != 0 {
            try await truncate(inode, to: 0)
            _ = try await openable(inode)
        }
        return opened(inode, flags: flags)
    }

    /// Attributes of an inode that is about to be opened, with a lease on it that lasts until the next suspension. The leader learns of open files from what
    /// is answered to its recalls; a file opened without a lease would be freed under its reader when somebody else removes the last name.
    private func openable(_ inode: CachedInode) async throws(Errno) -> Attributes {
        for attempt: UInt64 in 0..<3 {
            if attempt > 0 { await clock.sleep(nanoseconds: attempt * 5 * Nanoseconds.millisecond) }
            while let recall = inode.recall { await recall.wait() }
            let attributes = try await currentAttributes(inode)
            // The leader knows it no more.
            if inode.removed != nil { throw .stale }
            if attributes.kind != .file || (inode.recall == nil && metadata.holdsLease(inode.id)) { return attributes }
        }
        // Others write to it all the time: an exclusive lease is given to those who wait in their order.
        return try await exclusive(inode)
    }

    /// O_DIRECT, open(2); it is not in the headers without _GNU_SOURCE.
    #if arch(arm64)
        private static let directFlag: Int32 = 0o200000
    #else
        private static let directFlag: Int32 = 0o40000
    #endif

    /// What is appended goes past the kernel's pages: a write(2) that begins in a page which the kernel does not hold comes in two requests, cut at the
    /// page's end (fs/fuse/file.c, fuse_fill_write_pages), and another mount's line could come between the two.
    private func opened(_ inode: CachedInode, flags: Int32) -> OpenReply {
        let handle = newHandle(inode)
        handles[handle] = FileHandle(inode: inode, flags: flags)
        if flags & O_ACCMODE != O_WRONLY { noteOpened(inode) }
        let isDirect = flags & Self.directFlag != 0 || flags & O_APPEND != 0 && flags & O_ACCMODE != O_RDONLY
        var keepCache = false
        if let stored = inode.stored, metadata.holdsLease(inode.id) {
            keepCache = inode.pagesVersion == stored.version
            inode.pagesVersion = stored.version
        } else {
            inode.pagesVersion = nil
        }
        return OpenReply(handle: handle, keepCache: keepCache, direct: isDirect)
    }

    package func mayHavePrivileges(_ id: InodeID, handle: UInt64) -> Bool { handles[handle]?.mayHavePrivileges ?? false }

    package func dropPrivileges(_ id: InodeID, _ changer: Changer) async throws(Errno) {
        let inode = table.obtain(id)
        let attributes = try await currentAttributes(inode)
        guard attributes.kind != .directory else { return }
        let mode = changer.mode(attributes.mode, gid: attributes.gid)
        if mode != attributes.mode {
            _ = try await setAttributes(id, AttributeChange(mode: mode), size: nil, handle: nil)
            // It has been told of the bits and does not expect them to go by a write.
            invalidateKernelSoon(inode)
        }
        let capability = Array("security.capability".utf8)
        guard attributes.xattrs > 0, (try? await xattr(id, name: capability)) != nil else { return }
        try await removeXattr(id, name: capability)
    }

    package func setFlags(_ id: InodeID, handle: UInt64, flags: Int32) {
        guard let file = handles[handle], file.inode.id == id else { return }
        file.writeFlags = flags
    }

    package func create(
        _ parent: InodeID, _ name: [UInt8], mode: UInt16, flags: Int32, _ caller: Caller
    ) async throws(Errno) -> (EntryReply, OpenReply) {
        while true {
            do throws(Errno) {
                let entry = try await make(parent, name, .file, mode: mode, device: 0, target: [], caller)
                let inode = table.obtain(entry.attributes.inode)
                do throws(Errno) {
                    _ = try await openable(inode)
                    return (entry, opened(inode, flags: flags))
                } catch {
                    // Removed by somebody else before it was open here: an open file without a name. Made again it would undo the removal.
                    if error == .stale || error == .notFound { return (entry, opened(inode, flags: flags)) }
                    forget(inode.id, count: 1)
                    throw error
                }
            } catch {
                guard error == .exists, flags & O_EXCL == 0 else { throw error }
            }
            // Somebody made it a moment before: then it is opened.
            do throws(Errno) {
                var entry = try await lookup(parent, name)
                // As for link(2): the kernel may have known it before.
                entry.attributesValidity = 0
                do throws(Errno) {
                    return (entry, try await open(entry.attributes.inode, flags: flags))
                } catch {
                    forget(entry.attributes.inode, count: 1)
                    throw error
                }
            } catch {
                guard error == .notFound || error == .stale else { throw error }
            }
        }
    }

    package func createTemporary(
        _ parent: InodeID, mode: UInt16, flags: Int32, _ caller: Caller
    ) async throws(Errno) -> (EntryReply, OpenReply) {
        for isLast in [false, false, true] {
            let outcome: Outcome
            do throws(Errno) {
                outcome = try await perform(
                    .createTemporary(parent: parent, mode: mode & 0o7777, umask: caller.umask & 0o777, uid: caller.uid, gid: caller.gid))
            } catch {
                // The directory is gone, or the one that was made: its answer was lost, and the leader changed.
                guard error == .stale, !isLast else { throw error }
                continue
            }
            guard case .done(let attributes?, _) = outcome else { throw nonsense("a create") }
            learnFresh(attributes, target: [])
            let inode = table.obtain(attributes.inode)
            // The leader counts it as open since it was made.
            inode.mustReport = true
            table.retain(inode)
            let opened = opened(inode, flags: flags)
            trim()
            return (
                EntryReply(attributes: attributes, attributesValidity: attributeValidity(inode, of: attributes), entryValidity: 0), opened
            )
        }
        throw .stale
    }

    package func release(_ id: InodeID, handle: UInt64) async {
        guard let file = handles[handle], file.inode.id == id else { return }
        handles[handle] = nil
        let inode = file.inode
        // Changes that cannot be committed and whose error was reported end with the last handle, after one more attempt.
        if inode.opens == 1, let dirty = inode.dirty, dirty.failures > 0, file.seenErrors == inode.errorCount {
            try? await commit(inode)
            if inode.opens == 1, inode.isDirty, dirty.failures > 0 {
                log.error("changes of a closed file are given up after their error was reported", ["inode": "\(inode.id)"])
                dropChanges(inode)
                invalidateKernelSoon(inode)
            }
        }
        closed(inode)
        await releaseLocks(file, handle)
    }

    package func setAttributes(
        _ id: InodeID, _ change: AttributeChange, size: UInt64?, handle: UInt64?
    ) async throws(Errno) -> AttributesReply {
        let inode = table.obtain(id)
        inode.pins += 1
        defer { inode.pins -= 1 }
        await settle(inode)
        if let removed = inode.removed, size == nil {
            var change = change
            change.changed = change.changed ?? clock.wallTime
            let attributes = change.applied(to: removed)
            inode.removed = attributes
            return AttributesReply(attributes: attributes, validity: 0)
        }
        // The kernel takes the answer's size and times for its own, and would no longer see by them that its pages are old.
        defer {
            if inode.kernelPages != nil {
                inode.kernelPages = nil
                kernelCache?.dropPages(id)
            }
        }
        if let size {
            let file = handle.flatMap { handles[$0] }
            try await truncate(inode, to: size, through: file)
            if let file, file.isSynchronous { try await sync(file) }
        }
        if change != AttributeChange() {
            if inode.recall == nil, metadata.holdsExclusive(id), let attributes = cachedAttributes(inode), attributes.kind == .file,
                change.mode == nil || attributes.xattrs == 0
            {
                var local = change
                local.changed = change.changed ?? clock.wallTime
                dirtying(inode).pending.attributes.absorb(local)
            } else {
                try await commit(inode)
                let mark = mark
                let outcome = try await perform(.update(inode: id, attributes: change, edits: [], republished: []), on: inode)
                guard case .done(let attributes?, _) = outcome else { throw nonsense("an update") }
                adopt(attributes, since: mark)
                // The access control list has changed with the mode.
                if change.mode != nil { inode.xattrs = [:] }
                return AttributesReply(attributes: inode.effective(attributes), validity: 0)
            }
        }
        let attributes = try await currentAttributes(inode)
        return AttributesReply(attributes: attributes, validity: attributeValidity(inode, of: attributes))
    }

    package func readSymlink(_ id: InodeID) async throws(Errno) -> [UInt8] {
        let inode = table.obtain(id)
        if let target = inode.symlinkTarget, metadata.holdsLease(id) { return target }
        let mark = mark
        let reply = try await ask(.symlink(id), on: inode)
        guard case .bytes(let target) = reply.answer else { throw nonsense("a question for a symlink") }
        if mayCache(inode, reply, since: mark) { inode.symlinkTarget = target }
        return target
    }

    /// Whether what an answer says of an inode, besides its attributes, may be cached.
    func mayCache(_ inode: CachedInode, _ reply: QueryReply, since mark: UInt64) -> Bool {
        reply.leased.contains(inode.id) && inode.changedAt <= mark && inode.recall == nil && metadata.holdsLease(inode.id)
    }
}
