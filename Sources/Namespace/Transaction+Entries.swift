import Model
import OrderedStore

/// Commands that make and remove entries; inode(7), link(2), unlink(2), rmdir(2), mkdir(2), mknod(2), symlink(2).
extension Transaction {
    /// - Parameter inode: nil: the next number.
    func create(
        _ inode: InodeID? = nil, parent: InodeID, name: Name, kind: FileKind, mode: UInt16, umask: UInt16, uid: UInt32, gid: UInt32, device: UInt32,
        target: [UInt8]
    ) throws(Failure) -> Outcome {
        if kind == .symlink {
            guard target.count <= Limits.symlinkBytes else { throw .refused(.nameTooLong) }
            guard !target.isEmpty, !target.contains(0) else { throw .refused(.invalid) }
        } else {
            guard target.isEmpty else { throw .refused(.invalid) }
        }
        var directory = try directory(parent)
        guard try entry(parent, name) == nil else { throw .refused(.exists) }
        let number: InodeID
        if let inode { number = inode } else { number = try nextInode() }
        let record = try makeInode(
            number, in: directory, kind, mode: mode, umask: umask, uid: uid, gid: gid, links: kind == .directory ? 2 : 1, device: device,
            target: target)
        try attach(record.attributes, to: &directory, name)
        put(directory)
        return .done(attributes: record.attributes, parents: [directory.attributes])
    }

    func createTemporary(parent: InodeID, mode: UInt16, umask: UInt16, uid: UInt32, gid: UInt32) throws(Failure) -> Outcome {
        let directory = try directory(parent)
        let record = try makeInode(
            try nextInode(), in: directory, .file, mode: mode, umask: umask, uid: uid, gid: gid, links: 0, device: 0, target: [])
        put(RowKey.orphan(record.attributes.inode), OrphanRow.temporary)
        return .done(attributes: record.attributes, parents: [])
    }

    private func nextInode() throws(Failure) -> InodeID { InodeID(rawValue: try reserveInodes(1).lowerBound) }

    /// Numbers that no inode had or will have but those of whoever asks.
    func reserveInodes(_ count: UInt32) throws(Failure) -> Range<UInt64> {
        guard (1...Limits.inodesPerReservation).contains(count) else { throw .refused(.invalid) }
        let first = state.nextInode
        // The top 16 bits are the partition.
        guard first < 1 << 48 - UInt64(count) else { throw .refused(.notPermitted) }
        state.nextInode += UInt64(count)
        return first..<state.nextInode
    }

    /// A new inode with what it has from its directory, and its rows.
    private func makeInode(
        _ inode: InodeID, in directory: InodeRecord, _ kind: FileKind, mode: UInt16, umask: UInt16, uid: UInt32, gid: UInt32,
        links: UInt32, device: UInt32, target: [UInt8]
    ) throws(Failure) -> InodeRecord {
        guard mode <= 0o7777, umask <= 0o777 else { throw .refused(.invalid) }
        state.inodes += 1
        let hasDevice = kind == .characterDevice || kind == .blockDevice
        var record = InodeRecord(
            Attributes(
                inode, kind, in: directory.attributes, mode: mode, uid: uid, gid: gid, links: links, size: target.count, device: hasDevice ? device : 0,
                at: shown))
        if kind != .symlink { try inheritLists(&record, from: directory, umask: umask) }
        put(record)
        if kind == .symlink { put(RowKey.symlink(inode), target) }
        return record
    }

    func link(inode: InodeID, parent: InodeID, name: Name) throws(Failure) -> Outcome {
        var record = try self.inode(inode)
        guard record.attributes.kind != .directory else { throw .refused(.notPermitted) }
        var directory = try directory(parent)
        guard try entry(parent, name) == nil else { throw .refused(.exists) }
        if record.attributes.links == 0 {
            guard try get(RowKey.orphan(inode)) == OrphanRow.temporary else { throw .refused(.notFound) }
            delete(RowKey.orphan(inode))
        }
        guard record.attributes.links < Limits.links else { throw .refused(.tooManyLinks) }
        record.attributes.links += 1
        record.attributes.change(at: shown)
        put(record)
        try attach(record.attributes, to: &directory, name)
        put(directory)
        return .done(attributes: record.attributes, parents: [directory.attributes])
    }

    func unlink(parent: InodeID, name: Name, keep: Bool) throws(Failure) -> Outcome {
        try remove(parent: parent, name: name, keep: keep, isDirectory: false)
    }

    func removeDirectory(parent: InodeID, name: Name, keep: Bool) throws(Failure) -> Outcome {
        try remove(parent: parent, name: name, keep: keep, isDirectory: true)
    }

    private func remove(parent: InodeID, name: Name, keep: Bool, isDirectory: Bool) throws(Failure) -> Outcome {
        var directory = try directory(parent)
        guard let entry = try entry(parent, name) else { throw .refused(.notFound) }
        guard isDirectory == (entry.kind == .directory) else { throw .refused(isDirectory ? .notDirectory : .isDirectory) }
        var record = try inode(of: entry)
        if isDirectory {
            guard record.attributes.entries == 0 else { throw .refused(.notEmpty) }
        }
        try detach(record.attributes, from: &directory)
        deleteEntry(parent, name)
        put(directory)
        let orphaned = try dropLink(&record, keep: keep)
        guard record.attributes.links == 0 else { return .done(attributes: record.attributes, parents: [directory.attributes]) }
        return .removed(attributes: record.attributes, orphaned: orphaned, parents: [directory.attributes])
    }

    // MARK: Parts

    /// Counts a new entry of `directory` and writes its row; the caller writes the directory's.
    /// - Parameter made: when; nil: at the command's time.
    func attach(_ child: Attributes, to directory: inout InodeRecord, _ name: Name, at made: Timestamp? = nil) throws(Failure) {
        putEntry(directory.attributes.inode, name, child)
        directory.attributes.entries += 1
        if child.kind == .directory {
            guard directory.attributes.links < .max else { throw .refused(.tooManyLinks) }
            directory.attributes.links += 1
        }
        directory.attributes.modify(at: shown)
    }

    /// Takes an entry off the counts of `directory`; the caller deletes or replaces its row and writes the directory's.
    func detach(_ child: Attributes, from directory: inout InodeRecord) throws(Failure) {
        guard directory.attributes.entries > 0, child.kind != .directory || directory.attributes.links > 2 else {
            throw .store(StoreError(.corrupt, "directory \(directory.attributes.inode) has more entries than it counts"))
        }
        directory.attributes.entries -= 1
        if child.kind == .directory { directory.attributes.links -= 1 }
        directory.attributes.modify(at: shown)
    }

    /// Takes one link (of a directory: the only one) and writes the row; at the last one the inode is freed, or stays as an orphan if it
    /// is to be kept or there is too much to free at once.
    /// - Returns: whether it is an orphan now.
    func dropLink(_ record: inout InodeRecord, keep: Bool) throws(Failure) -> Bool {
        let inode = record.attributes.inode
        guard record.attributes.links > 0 else { throw .store(StoreError(.corrupt, "inode \(inode) has an entry but no links")) }
        record.attributes.change(at: shown)
        if record.attributes.kind == .directory {
            record.attributes.links = 0
            record.attributes.parent = InodeID(rawValue: 0)
            delete(RowKey.location(inode))
        } else {
            record.attributes.links -= 1
            guard record.attributes.links == 0 else {
                put(record)
                return false
            }
        }
        var budget = Limits.extentsFreedPerCommand
        if !keep, try free(record, budget: &budget) { return false }
        if keep { put(record) }
        put(RowKey.orphan(inode), OrphanRow.removed)
        return true
    }

    /// Frees orphans, the first ones first, as far as one command may; the rest are orphans still.
    func reap(_ inodes: [InodeID]) throws(Failure) -> Outcome {
        guard inodes.count <= Limits.keysPerCommand else { throw .refused(.invalid) }
        var budget = Limits.extentsFreedPerCommand
        for inode in inodes {
            guard budget > 0 else { break }
            guard try get(RowKey.orphan(inode)) != nil else { continue }
            // What is freed in part must not get a name any more.
            if try free(try self.inode(inode), budget: &budget) { delete(RowKey.orphan(inode)) } else { put(RowKey.orphan(inode), OrphanRow.removed) }
        }
        return .done(attributes: nil, parents: [])
    }

    /// Removes an inode without links and everything of it.
    /// - Parameter budget: extents that may still be freed; a region is never freed in part.
    /// - Returns: false if there was too much: then the freed regions are holes now.
    private func free(_ record: InodeRecord, budget: inout Int) throws(Failure) -> Bool {
        var record = record
        let inode = record.attributes.inode
        if record.regions > 0, record.attributes.size > 0 {
            let last = UInt32(truncatingIfNeeded: (record.attributes.size - 1) / Limits.regionBytes)
            for region in try regions(inode, in: 0...last, limit: max(budget, 1)) {
                guard budget > 0 else { break }
                guard let extents = try extents(inode, region: region) else { continue }
                guard record.regions > 0, record.extents >= extents.count else { throw .store(Rows.corrupt(RowKey.inode(inode))) }
                var changes = ReferenceChanges()
                for extent in extents {
                    changes.remove(extent)
                    record.attributes.allocated -= min(extent.allocated, record.attributes.allocated)
                }
                try apply(changes, republished: [])
                delete(RowKey.extents(inode, region: region))
                record.regions -= 1
                record.extents -= UInt64(extents.count)
                budget -= max(extents.count, 1)
            }
            guard record.regions == 0 else {
                put(record)
                return false
            }
        }
        if record.inlineLength > 0 { delete(RowKey.inline(inode)) }
        if record.attributes.kind == .symlink { delete(RowKey.symlink(inode)) }
        if record.attributes.xattrs > 0 {
            let prefix = RowKey.xattr(inode, [])
            for pair in try pairs(from: prefix, to: RowKey.end(.xattr, inode.rawValue)) { delete(pair.key) }
        }
        delete(RowKey.inode(inode))
        state.inodes -= min(state.inodes, 1)
        #if CANARIES
            if Canary.reusesInodes.isActive, inode.rawValue + 1 == state.nextInode { state.nextInode = inode.rawValue }
        #endif
        return true
    }
}
