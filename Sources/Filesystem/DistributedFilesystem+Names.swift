import Metadata
package import Model
package import Namespace
import Runtime

/// Names: lookup, and the commands that make, move and remove entries.
extension DistributedFilesystem {
    package func lookup(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply {
        let name = try checked(name)
        let directory = table.obtain(parent)
        let attributes: Attributes
        if let known = try cachedLookup(directory, name) { attributes = known } else { attributes = try await find(directory, name) }
        noteLookup(directory, name, attributes.kind)
        return entered(directory, name, attributes)
    }

    /// nil: not known here. Throws ENOENT where the name is known to be absent.
    private func cachedLookup(_ directory: CachedInode, _ name: Name) throws(Errno) -> Attributes? {
        guard metadata.holdsLease(directory.id), let entry = directory.directory?.entry(name) else { return nil }
        guard case .present(let id, _) = entry else { throw .notFound }
        guard let child = table.existing(id), let attributes = cachedAttributes(child) else { return nil }
        directory.directory?.readAhead.noteHit()
        return attributes
    }

    /// Asks the leader for an entry; caches what a lease came for.
    private func find(_ directory: CachedInode, _ name: Name) async throws(Errno) -> Attributes {
        directory.pins += 1
        defer { directory.pins -= 1 }
        while true {
            await settle(directory, name)
            if let known = try cachedLookup(directory, name) { return known }
            let mark = mark
            let wasHeld = metadata.holdsExclusive(directory.id)
            let reply = try await query(.lookup(parent: directory.id, name: name), on: directory)
            let knows = reply.leased.contains(directory.id)
            switch reply.answer {
            case .found(let attributes, let content):
                if knows { learnName(directory, name, .present(attributes.inode, attributes.kind), since: mark, wasHeld: wasHeld) }
                let leased = reply.leased.contains(attributes.inode)
                learn(attributes, leased: leased, since: mark, keepsPages: true)
                let child = table.obtain(attributes.inode)
                if child.pendingChanges > 0 {
                    await settle(child)
                    continue
                }
                guard attributes.version >= child.acknowledged else { continue }
                if let content, leased { learn(content, of: child, since: mark) }
                return cachedAttributes(child) ?? child.effective(attributes)
            case .failed(.notFound):
                if knows { learnName(directory, name, .absent, since: mark, wasHeld: wasHeld) }
                throw .notFound
            case .failed(let error):
                throw Errno(error)
            default:
                throw nonsense("a lookup")
            }
        }
    }

    /// The whole content, as it comes with a lookup.
    func learn(_ content: Content, of inode: CachedInode, since mark: UInt64) {
        guard case .unknown = inode.content, inode.recall == nil, inode.changedAt <= mark, inode.stored != nil, metadata.holdsLease(inode.id) else { return }
        switch content {
        case .inline(let bytes): inode.content = .inline(bytes)
        case .extents(let extents): inode.content = .extents(ExtentMap(all: extents))
        }
        table.recount(inode)
    }

    /// Notes what a name leads to that had to be asked for, and reads ahead if that is worth it.
    private func learnName(_ directory: CachedInode, _ name: Name, _ entry: DirectoryCache.Entry, since mark: UInt64, wasHeld: Bool) {
        if mayNoteNames(directory, since: mark, wasHeld: wasHeld) {
            var cache = directory.directory ?? DirectoryCache(isComplete: false)
            directory.directory = nil
            if cache.entry(name) == nil { cache.set(name, entry) }
            directory.directory = cache
            table.recount(directory)
        }
        noteMiss(directory, name)
    }

    /// Whether names may be cached that were asked for at `mark`, where the cache does not know them: nothing has changed since, or only what was changed
    /// here, which the cache knows.
    /// - Parameter wasHeld: the directory was held exclusively at `mark`.
    func mayNoteNames(_ directory: CachedInode, since mark: UInt64, wasHeld: Bool) -> Bool {
        guard directory.recall == nil, metadata.holdsLease(directory.id) else { return false }
        if directory.changedAt <= mark { return true }
        return wasHeld && metadata.holdsExclusive(directory.id) && (directory.delegation.map { $0.doubtedAt <= mark } ?? false)
    }

    /// Counts a lookup of the kernel and says how long it may keep what it is told.
    private func entered(_ directory: CachedInode, _ name: Name, _ attributes: Attributes) -> EntryReply {
        let child = table.obtain(attributes.inode)
        table.retain(child)
        child.foundAs = (directory.id, name)
        trim()
        return EntryReply(
            attributes: attributes, attributesValidity: attributeValidity(child, of: attributes),
            entryValidity: entryValidity(directory, name, child.id))
    }

    func checked(_ name: [UInt8]) throws(Errno) -> Name {
        guard name.count <= Limits.nameBytes else { throw .nameTooLong }
        guard let name = Name(name) else { throw .invalid }
        return name
    }

    // MARK: Making

    package func makeSymlink(_ parent: InodeID, _ name: [UInt8], target: [UInt8], _ caller: Caller) async throws(Errno) -> EntryReply {
        guard target.count <= Limits.symlinkBytes else { throw .nameTooLong }
        return try await make(parent, name, .symlink, mode: 0o777, device: 0, target: target, caller)
    }

    package func makeNode(
        _ parent: InodeID, _ name: [UInt8], kind: FileKind, mode: UInt16, device: UInt32, _ caller: Caller
    ) async throws(Errno) -> EntryReply {
        guard kind != .directory, kind != .symlink else { throw .invalid }
        return try await make(parent, name, kind, mode: mode, device: device, target: [], caller)
    }

    package func makeDirectory(_ parent: InodeID, _ name: [UInt8], mode: UInt16, _ caller: Caller) async throws(Errno) -> EntryReply {
        try await make(parent, name, .directory, mode: mode, device: 0, target: [], caller)
    }

    func make(
        _ parent: InodeID, _ name: [UInt8], _ kind: FileKind, mode: UInt16, device: UInt32, target: [UInt8], _ caller: Caller
    ) async throws(Errno) -> EntryReply {
        let name = try checked(name)
        let directory = table.obtain(parent)
        await delegate(directory, name)
        if let attributes = createBehind(directory, name, kind, mode: mode & 0o7777, target: target, caller) {
            return entered(directory, name, attributes)
        }
        let outcome = try await change([(directory, [name])]) { () async throws(Errno) in
            try await self.perform(
                .create(
                    parent: parent, name: name, kind: kind, mode: mode & 0o7777, umask: caller.umask & 0o777, uid: caller.uid, gid: caller.gid,
                    device: device, target: target))
        } record: { outcome, known in
            guard case .done(let attributes?, _) = outcome else { return }
            guard known else { return }
            self.setName(directory, name, .present(attributes.inode, attributes.kind))
            self.learnFresh(attributes, target: target)
        }
        guard case .done(let attributes?, _) = outcome else { throw nonsense("a create") }
        if !metadata.holdsExclusive(directory.id) { noteWait(directory, name) }
        return entered(directory, name, attributes)
    }

    /// A new inode comes with its lease, and all about it is known.
    func learnFresh(_ attributes: Attributes, target: [UInt8]) {
        let child = table.obtain(attributes.inode)
        guard metadata.holdsLease(child.id), child.stored == nil else { return }
        child.stored = attributes
        switch attributes.kind {
        case .file:
            child.content = .inline([])
            child.pagesVersion = attributes.version
        case .directory: child.directory = DirectoryCache(isComplete: true)
        case .symlink: child.symlinkTarget = target
        default: break
        }
    }

    package func link(_ id: InodeID, to parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply {
        let name = try checked(name)
        let directory = table.obtain(parent)
        let inode = table.obtain(id)
        await settle(inode)
        if inode.removed != nil { throw .notFound }
        try await commit(inode)
        let outcome = try await change([(directory, [name])]) { () async throws(Errno) in
            try await self.perform(.link(inode: id, parent: parent, name: name))
        } record: { outcome, known in
            guard case .done(let attributes?, _) = outcome else { return }
            if known { self.setName(directory, name, .present(id, attributes.kind)) }
        }
        guard case .done(let attributes?, _) = outcome else { throw nonsense("a link") }
        var entry = entered(directory, name, cachedAttributes(inode) ?? inode.effective(attributes))
        // The kernel takes the answer to link(2) for true even if it was told since that it is not (`create_new_entry`, fs/fuse/dir.c).
        entry.attributesValidity = 0
        return entry
    }

    // MARK: Removing

    package func unlink(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) {
        let name = try checked(name)
        let directory = table.obtain(parent)
        await delegate(directory, name)
        if unlinkBehind(directory, name) { return }
        try await remove(directory, name) { keep in .unlink(parent: parent, name: name, keep: keep) }
    }

    package func removeDirectory(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) {
        if name == [0x2E] { throw .invalid }
        let name = try checked(name)
        let directory = table.obtain(parent)
        await delegate(directory, name)
        if removeDirectoryBehind(directory, name) { return }
        try await remove(directory, name) { keep in .removeDirectory(parent: parent, name: name, keep: keep) }
    }

    private func remove(_ directory: CachedInode, _ name: Name, _ command: (Bool) -> Command) async throws(Errno) {
        await keepXattrs(directory, name)
        let command = command(mayBeOpen(directory, name))
        let outcome = try await change([(directory, [name])]) { () async throws(Errno) in
            try await self.perform(command)
        } record: { _, known in
            if known { self.setName(directory, name, .absent) }
        }
        if case .removed(let attributes, let orphaned, _) = outcome { gone(attributes, orphaned: orphaned) }
        noteWait(directory, name)
    }

    /// Fifos, sockets and devices are open without a word to us: what they have of extended attributes is cached before their name goes.
    private func keepXattrs(_ directory: CachedInode, _ name: Name) async {
        guard case .present(let id, let kind) = directory.directory?.entry(name), kind != .file, kind != .directory, kind != .symlink,
            let inode = table.existing(id), inode.lookups > 0, let attributes = cachedAttributes(inode), attributes.xattrs > 0
        else { return }
        for known in (try? await xattrNames(id)) ?? [] { _ = try? await xattr(id, name: known) }
    }

    /// Whether the inode that a name leads to may be open here. If that is not certain: yes; the leader is told afterwards if it is not.
    private func mayBeOpen(_ directory: CachedInode, _ name: Name) -> Bool {
        guard metadata.holdsLease(directory.id), case .present(let id, _) = directory.directory?.entry(name) else { return openInodes > 0 }
        return table.existing(id).map { $0.opens > 0 || $0.pins > $0.pendingChanges } ?? false
    }

    /// The inode lost an entry, perhaps its last one.
    func gone(_ attributes: Attributes, orphaned: Bool) {
        guard attributes.links == 0 || orphaned || attributes.kind == .directory, let inode = table.existing(attributes.inode) else {
            if orphaned { metadata.release([attributes.inode]) }
            return
        }
        guard inode.opens == 0 else {
            inode.mustReport = true
            return
        }
        if inode.lookups > 0, attributes.links == 0 { inode.removed = inode.effective(attributes) }
        if orphaned {
            // Some session has it open. Not this one: so ours is only to commit what was written here, then to let go.
            if inode.isDirty {
                inode.mustReport = true
                commitSoon(inode)
            } else {
                metadata.release([inode.id])
                dropCaches(of: inode)
            }
            return
        }
        let xattrs = inode.xattrs.filter { $1 != nil }
        dropChanges(inode)
        dropCaches(of: inode)
        if inode.removed != nil { inode.xattrs = xattrs }
        if !inode.isReferenced { table.remove(inode, stamp: nextStamp()) }
        metadata.release([inode.id])
    }

    // MARK: Moving

    package func rename(
        _ parent: InodeID, _ name: [UInt8], to newParent: InodeID, _ newName: [UInt8], mode: RenameMode
    ) async throws(Errno) {
        let name = try checked(name)
        let newName = try checked(newName)
        let from = table.obtain(parent)
        let to = table.obtain(newParent)
        // Whoever finds the new name after a crash finds the content that was written before.
        try await commitNamed(from, name)
        if mode == .exchange { try await commitNamed(to, newName) }
        #if CANARIES
            if Canary.renamesInTwoSteps.isActive, mode == .replace { try? await unlink(newParent, newName.bytes) }
        #endif
        await delegate(from, name)
        if to !== from { await delegate(to, newName) }
        if renameBehind(from, name, to: to, newName, mode: mode) { return }
        let keep = mode != .exchange && mayBeOpen(to, newName)
        let directories = from === to ? [(from, [name, newName])] : [(from, [name]), (to, [newName])]
        let outcome = try await change(directories) { () async throws(Errno) in
            try await self.perform(.rename(from: parent, name: name, to: newParent, newName: newName, mode: mode, keep: keep))
        } record: { outcome, known in
            guard case .renamed(let moved, let other, _, _) = outcome else { return }
            // Two names of one inode: rename(2) does nothing.
            if let other, other.inode == moved.inode, mode != .exchange { return }
            guard known else { return }
            if mode == .exchange, let other {
                self.setName(from, name, .present(other.inode, other.kind))
            } else {
                self.setName(from, name, .absent)
            }
            self.setName(to, newName, .present(moved.inode, moved.kind))
        }
        guard case .renamed(let moved, let other, let orphaned, _) = outcome else { throw nonsense("a rename") }
        if let other, mode != .exchange, other.inode != moved.inode { gone(other, orphaned: orphaned) }
        if moved.kind != .directory { noteWait(from, name) }
    }

    /// Commits the inode that a name leads to, if it has changes here. Where changes were lost after the last close, and so nobody was told, this is
    /// the time to tell: else an empty file would take the place of a good one.
    private func commitNamed(_ directory: CachedInode, _ name: Name) async throws(Errno) {
        guard !dirtyInodes.isEmpty || hasLostChanges else { return }
        let id: InodeID
        if metadata.holdsLease(directory.id), let entry = directory.directory?.entry(name) {
            guard case .present(let present, _) = entry else { return }
            id = present
        } else {
            id = try await find(directory, name).inode
        }
        guard let inode = table.existing(id) else { return }
        if inode.isDirty { try await commit(inode) }
        guard inode.hasUntoldLoss else { return }
        inode.hasUntoldLoss = false
        throw .io
    }

    // MARK: Caches around a command

    func setName(_ directory: CachedInode, _ name: Name, _ entry: DirectoryCache.Entry) {
        guard metadata.holdsLease(directory.id) else { return }
        var cache = directory.directory ?? DirectoryCache(isComplete: false)
        directory.directory = nil
        cache.set(name, entry)
        directory.directory = cache
        table.recount(directory)
    }

    /// Runs a command that changes names of directories. Afterwards the caches of the directories and of all inodes in the outcome are as
    /// the
    /// outcome says; `record` is told whether the names may be noted. They may not where commands of one directory overlap, since which
    /// came first is
    /// not known here; then they count as unknown.
    private func change(
        _ directories: [(CachedInode, [Name])], _ command: () async throws(Errno) -> Outcome, record: (Outcome, _ known: Bool) -> Void
    ) async throws(Errno) -> Outcome {
        var began: [UInt64] = []
        for (directory, _) in directories {
            let delegation = directory.delegation ?? NameDelegation(doubtedAt: directory.changedAt)
            directory.delegation = delegation
            delegation.awaited += 1
            noteChange(directory)
            directory.pins += 1
            began.append(directory.changedAt)
        }
        let mark = mark
        let result: Result<Outcome, Errno>
        do { result = .success(try await command()) } catch { result = .failure(error) }
        var known = true
        for (index, (directory, _)) in directories.enumerated() {
            directory.pins -= 1
            directory.delegation?.awaited -= 1
            if directory.changedAt != began[index] { known = false }
            noteChange(directory)
        }
        // An error other than EIO says that nothing was changed.
        if case .failure(.io) = result {
            known = false
            for (directory, names) in directories {
                for name in names {
                    guard case .present(let id, _) = directory.directory?.entry(name), let child = table.existing(id) else { continue }
                    dropCaches(of: child)
                }
                dropCaches(of: directory)
            }
        }
        if !known {
            for (directory, names) in directories {
                guard var cache = directory.directory else { continue }
                directory.directory = nil
                for name in names { cache.forget(name) }
                directory.delegation?.doubtedAt = nextStamp()
                directory.directory = cache
                table.recount(directory)
            }
        }
        let outcome = try result.get()
        switch outcome {
        case .done(let attributes, let parents):
            if let attributes { adopt(attributes, since: mark) }
            for parent in parents { adopt(parent, since: mark) }
        case .removed(let attributes, _, let parents):
            adopt(attributes, since: mark)
            for parent in parents { adopt(parent, since: mark) }
        case .renamed(let moved, let other, _, let parents):
            adopt(moved, since: mark)
            if let other { adopt(other, since: mark) }
            for parent in parents { adopt(parent, since: mark) }
        case .recordSet, .reserved, .failed:
            throw nonsense("a command on names")
        }
        record(outcome, known)
        return outcome
    }
}
