import Metadata
import Model
import Namespace
import Runtime
import Telemetry

/// Names written behind: under exclusive leases on the directories and on the files, nobody else sees that a change is on its way, and nothing can stand in its
/// way, so the caller need not wait for the leader.
///
/// Whoever asks the leader about what such a change touches waits until it has settled (`settle`), as does a recall. Changes arrive in the order in which they
/// were made. A client that dies loses the last of them, as it loses what it wrote and did not sync; fsync(2) of anything waits for all.
extension DistributedFilesystem {
    /// Changes on their way, above which callers wait for theirs.
    static let pendingChangesMax = 256

    // MARK: Waiting

    /// Suspends until no change of names is under way that touches the inode.
    func settle(_ inode: CachedInode) async {
        guard inode.pendingChanges > 0 else { return }
        inode.settleWaiters += 1
        inode.pins += 1
        while let change = pendingChanges.last(where: { $0.touched.contains { $0 === inode } }) { await settled(change) }
        inode.settleWaiters -= 1
        inode.pins -= 1
    }

    /// Suspends while a change of this name is under way: the leader would show what was there before.
    func settle(_ directory: CachedInode, _ name: Name) async {
        while directory.delegation?.pending[name] != nil { await settle(directory) }
    }

    /// Suspends until the leader knows an inode that was made here. Commands need not wait for that: they are carried out in their order.
    func known(_ inode: CachedInode) async {
        guard let creation = inode.creation else { return }
        inode.pins += 1
        await settled(creation)
        inode.pins -= 1
    }

    /// Suspends until all changes of names that were made before are durable.
    /// - Throws: EIO, once, if some were lost.
    func settleNames() async throws(Errno) {
        for change in pendingChanges { await settled(change) }
        guard hasLostNames else { return }
        hasLostNames = false
        throw .io
    }

    private func settled(_ change: PendingNameChange) async {
        metadata.hasten()
        await change.settled.wait()
    }

    // MARK: Changing

    /// Makes a file, a directory or a symlink whose name is known to be free.
    /// - Returns: nil if that must be asked of the leader.
    func createBehind(
        _ directory: CachedInode, _ name: Name, _ kind: FileKind, mode: UInt16, target: [UInt8], _ caller: Caller
    ) -> Attributes? {
        guard kind == .file || kind == .directory || kind == .symlink && !target.isEmpty && !target.contains(0) else { return nil }
        // A directory with extended attributes may have a default access control list.
        guard mayWriteBehind(directory), let parent = cachedAttributes(directory), parent.xattrs == 0, directory.directory?.entry(name) == .absent
        else { return nil }
        if inodeNumbers.isScarce { reserveNumbers() }
        guard let number = inodeNumbers.next() else { return nil }
        let now = time(after: [directory])
        let umask = caller.umask & 0o777
        let attributes = Attributes(
            number, kind, in: parent, mode: kind == .symlink ? mode : mode & ~umask, uid: caller.uid, gid: caller.gid, links: kind == .directory ? 2 : 1,
            size: target.count, at: now)
        submit(
            .createNumbered(
                number, parent: directory.id, name: name, kind: kind, mode: mode, umask: umask, uid: caller.uid, gid: caller.gid, target: target),
            touching: [directory], [(directory, name, .present(number, kind))], making: table.obtain(number), at: now)
        learnFresh(attributes, target: target)
        return attributes
    }

    /// The present, but not before the times of directories where those come from a leader whose clock is a little ahead.
    private func time(after directories: [CachedInode]) -> Timestamp {
        let now = clock.wallTime
        let latest = directories.lazy.compactMap { self.cachedAttributes($0) }.map { max($0.modified, $0.changed) }.max() ?? now
        return latest >= now && latest - now < Self.skewMax ? latest + 1 : now
    }

    /// Nanoseconds by which the leader's clock may be ahead without times going back; what is later was set by somebody.
    private static let skewMax: Timestamp = 1_000_000_000

    private func reserveNumbers() {
        guard !inodeNumbers.isAsking else { return }
        inodeNumbers.isAsking = true
        let session = inodeNumbers.session
        metadata.submit(.reserveInodes(Limits.inodesPerReservation), on: [], shown: nil) { [self] result in
            guard session == inodeNumbers.session else { return }
            inodeNumbers.isAsking = false
            if case .success(.reserved(let numbers)) = result { inodeNumbers.add(numbers) }
        }
    }

    /// Removes the name of a file that nobody has open.
    /// - Returns: false if that must be asked of the leader.
    func unlinkBehind(_ directory: CachedInode, _ name: Name) -> Bool {
        guard mayWriteBehind(directory), let file = own(directory, name, isFile), isUnused(file) else { return false }
        // What was changed in a file that keeps other names is still to be committed, after what was changed before.
        guard !file.isDirty || file.stored?.links == 1 && file.pendingChanges == 0 else { return false }
        submit(
            .unlink(parent: directory.id, name: name, keep: false), touching: [directory, file], [(directory, name, .absent)])
        return true
    }

    /// Removes a directory that is known to be empty, and that nobody has open.
    /// - Returns: false if that must be asked of the leader.
    func removeDirectoryBehind(_ directory: CachedInode, _ name: Name) -> Bool {
        guard mayWriteBehind(directory), let removed = own(directory, name, { $0 == .directory }), isUnused(removed),
            removed.directory?.isEmpty ?? false, removed.delegation?.awaited ?? 0 == 0
        else { return false }
        submit(
            .removeDirectory(parent: directory.id, name: name, keep: false), touching: [directory, removed], [(directory, name, .absent)])
        removed.delegation?.attributes = nil
        return true
    }

    /// Moves the name of a file, perhaps over another file that nobody has open.
    /// - Returns: false if that must be asked of the leader.
    func renameBehind(_ from: CachedInode, _ name: Name, to: CachedInode, _ newName: Name, mode: RenameMode) -> Bool {
        guard mode != .exchange, mayWriteBehind(from), from === to || mayWriteBehind(to), let moved = own(from, name, isFile), isClean(moved),
            case .present(let id, let kind)? = from.directory?.entry(name)
        else { return false }
        var touched = from === to ? [from, moved] : [from, to, moved]
        switch to.directory?.entry(newName) {
        case .absent: break
        case .present:
            guard mode == .replace, let replaced = own(to, newName, isFile), replaced !== moved, isUnused(replaced), isClean(replaced)
            else { return false }
            touched.append(replaced)
        case nil: return false
        }
        submit(
            .rename(from: from.id, name: name, to: to.id, newName: newName, mode: mode, keep: false), touching: touched,
            [(from, name, .absent), (to, newName, .present(id, kind))])
        return true
    }

    private func mayWriteBehind(_ directory: CachedInode) -> Bool {
        guard metadata.holdsExclusive(directory.id), cachedAttributes(directory) != nil, pendingChanges.count < Self.pendingChangesMax
        else { return false }
        // What is made or listed in a directory that is held exclusively comes so too.
        let delegation = directory.delegation ?? NameDelegation(doubtedAt: directory.changedAt)
        directory.delegation = delegation
        return delegation.awaited == 0 && directory.recall == nil && directory.settleWaiters == 0 && directory.commands == 0 && !directory.mustReport
    }

    /// What a name leads to, if it is of the right kind and this session's alone.
    private func own(_ directory: CachedInode, _ name: Name, _ isRight: (FileKind) -> Bool) -> CachedInode? {
        guard case .present(let id, let kind)? = directory.directory?.entry(name), isRight(kind), let inode = table.existing(id), inode.recall == nil,
            inode.settleWaiters == 0, inode.removed == nil, !inode.mustReport, metadata.holdsExclusive(id)
        else { return nil }
        return inode
    }

    /// Fifos, sockets and devices are open without a word to us.
    private func isFile(_ kind: FileKind) -> Bool { kind == .file || kind == .symlink }

    /// There is nothing to commit, which would have to be durable before the name changes, and nothing to tell.
    private func isClean(_ file: CachedInode) -> Bool { !file.isDirty && !file.hasUntoldLoss }

    /// Nobody has it open or is about to.
    private func isUnused(_ file: CachedInode) -> Bool { file.opens == 0 && file.pins == file.pendingChanges }

    private func submit(
        _ command: Command, touching touched: [CachedInode], _ names: [(directory: CachedInode, name: Name, entry: DirectoryCache.Entry)],
        making made: CachedInode? = nil, at time: Timestamp? = nil
    ) {
        let time = time ?? self.time(after: names.map(\.directory))
        for (directory, name, entry) in names { note(directory, name, entry, at: time) }
        let change = PendingNameChange(touched: touched, names: names.map { ($0.directory, $0.name) }, made: made)
        pendingChanges.append(change)
        let mark = mark
        let inodes = change.inodes
        metadata.submit(command, on: inodes.map(\.id), shown: time) { [self] result in
            change.end()
            pendingChanges.removeAll { $0 === change }
            do throws(Errno) {
                try takeIn(result, since: mark)
            } catch {
                lost(change, error)
            }
            for inode in inodes where inode.pendingChanges == 0 {
                inode.delegation?.attributes = nil
                reportClosed(inode)
            }
            change.settled.happen()
            if pendingChanges.isEmpty { trim() }
        }
    }

    /// Changes an entry and the directory's attributes as the leader will.
    private func note(_ directory: CachedInode, _ name: Name, _ entry: DirectoryCache.Entry, at time: Timestamp) {
        var attributes = directory.delegation?.attributes ?? cachedAttributes(directory)
        if case .present(_, let kind)? = directory.directory?.entry(name) {
            attributes?.entries -= 1
            if kind == .directory { attributes?.links -= 1 }
        }
        if case .present(_, let kind) = entry {
            attributes?.entries += 1
            if kind == .directory { attributes?.links += 1 }
        }
        attributes?.modified = time
        attributes?.changed = time
        directory.delegation?.attributes = attributes
        noteChange(directory)
        setName(directory, name, entry)
    }

    private func takeIn(_ result: Result<Outcome, MetadataError>, since mark: UInt64) throws(Errno) {
        switch result {
        case .success(.done(let attributes, let parents)):
            for changed in (attributes.map { [$0] } ?? []) + parents { adopt(changed, since: mark, isAwaited: false) }
        case .success(.removed(let attributes, let orphaned, let parents)):
            for changed in [attributes] + parents { adopt(changed, since: mark, isAwaited: false) }
            gone(attributes, orphaned: orphaned)
        case .success(.renamed(let moved, let other, let orphaned, let parents)):
            for changed in [moved] + (other.map { [$0] } ?? []) + parents { adopt(changed, since: mark, isAwaited: false) }
            if let other { gone(other, orphaned: orphaned) }
        case .success(.failed(let error)): throw Errno(error)
        case .success: throw nonsense("a command on names")
        case .failure(let error): throw Errno(error)
        }
    }

    /// A change that a caller was told of will not be, or nobody knows.
    private func lost(_ change: PendingNameChange, _ error: Errno) {
        log.error(
            "changes of names are lost",
            ["names": change.names.map { "\($0.directory.id)/\(String(decoding: $0.name.bytes, as: UTF8.self))" }.joined(separator: ", "), "errno": "\(error.rawValue)"])
        hasLostNames = true
        if let made = change.made {
            made.errorCount += 1
            made.lastError = .io
            loseChanges(made)
        }
        for inode in change.inodes {
            dropCaches(of: inode)
            invalidateKernelSoon(inode)
        }
    }

    // MARK: The lease

    /// A change of a name has waited for the leader: perhaps the next ones need not.
    func noteWait(_ directory: CachedInode, _ name: Name) {
        guard let delegation = directory.delegation else { return }
        // Of a directory that is held exclusively, files that are listed now come exclusively too.
        if metadata.holdsExclusive(directory.id) { return noteMiss(directory, name) }
        guard delegation.noteWait() else { return }
        directory.pins += 1
        Task { @LoopActor [self] in
            await takeNames(directory, delegation)
            directory.pins -= 1
            trim()
        }
    }

    /// Entries of a directory that is leased exclusively for its first change.
    private static let firstChangeMax: UInt64 = 1024

    /// A name is about to be changed. In a tree whose directories are gone through (`rm -r`, `tar -x`, `rsync`), the lease is worth asking for at once.
    func delegate(_ directory: CachedInode, _ name: Name) async {
        guard let attributes = cachedAttributes(directory), attributes.kind == .directory, attributes.entries <= Self.firstChangeMax,
            directory.recall == nil, isAmongDelegated(directory)
        else { return }
        let isHeld = metadata.holdsExclusive(directory.id)
        if isHeld {
            guard case .present(let id, _)? = directory.directory?.entry(name), !metadata.holdsExclusive(id) else { return }
        }
        let delegation = directory.delegation ?? NameDelegation(doubtedAt: directory.changedAt)
        directory.delegation = delegation
        guard delegation.noteFirst(isHeld: isHeld) else { return }
        directory.pins += 1
        await takeNames(directory, delegation)
        directory.pins -= 1
    }

    /// Whether the lease of a directory in this one, beside it or beside the one above was worth asking for.
    private func isAmongDelegated(_ directory: CachedInode) -> Bool {
        var inode = directory
        for _ in 0..<3 {
            if inode.delegatesWithin { return true }
            guard let above = above(inode) else { return false }
            inode = above
        }
        return false
    }

    private func takeNames(_ directory: CachedInode, _ delegation: NameDelegation) async {
        above(directory)?.delegatesWithin = true
        let isHeld = (try? await exclusive(directory)) != nil
        if isHeld { await readAll(directory) }
        delegation.answered(isListed: isHeld)
    }
}
