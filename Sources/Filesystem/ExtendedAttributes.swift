import Bytes
import Metadata
package import Model
package import Namespace
import Runtime

/// Extended attributes (xattr(7)).
extension DistributedFilesystem {
    package func xattr(_ id: InodeID, name: [UInt8]) async throws(Errno) -> [UInt8] {
        guard name.count <= Limits.xattrNameBytes else { throw .range }
        let inode = table.obtain(id)
        await settle(inode)
        if inode.removed != nil {
            guard let value = inode.xattrs[name] ?? nil else { throw .noData }
            return value
        }
        defer { if AccessControlList.isName(name) { kernelGetsList(of: inode) } }
        if let attributes = cachedAttributes(inode) {
            // The kernel asks for lists and capabilities of every file, and few have any.
            guard attributes.xattrs > 0 else { throw .noData }
            if let known = inode.xattrs[name] {
                guard let value = known else { throw .noData }
                return value
            }
            if let names = inode.xattrNames, !names.contains(name) { throw .noData }
        }
        let mark = mark
        let reply = try await query(.xattr(id, name: name), on: inode)
        switch reply.answer {
        case .bytes(let value):
            if mayCache(inode, reply, since: mark), value.count <= 4096 { remember(inode, name, value) }
            return value
        case .failed(.noAttribute):
            if mayCache(inode, reply, since: mark) { remember(inode, name, nil) }
            throw .noData
        case .failed(let error):
            throw Errno(error)
        default:
            throw nonsense("a question for an extended attribute")
        }
    }

    /// The kernel goes by a list, and by there being none, until its cache of the inode is invalidated; validities do not count. What it gets without a
    /// lease it must not keep at all. (A notification that comes before the answer makes it disregard that: get_acl, fs/posix_acl.c.)
    private func kernelGetsList(of inode: CachedInode) {
        guard kernelCache != nil else { return }
        inode.kernelMayHold = true
        if inode.recall != nil || !metadata.holdsLease(inode.id) { Task { @LoopActor in await self.invalidateKernel(inode) } }
    }

    private func remember(_ inode: CachedInode, _ name: [UInt8], _ value: [UInt8]?) {
        if inode.xattrs.count >= 32 { inode.xattrs = [:] }
        inode.xattrs.updateValue(value, forKey: name)
        table.recount(inode)
    }

    package func xattrNames(_ id: InodeID) async throws(Errno) -> [[UInt8]] {
        let inode = table.obtain(id)
        await settle(inode)
        if inode.removed != nil { return Array(inode.xattrs.keys) }
        if let attributes = cachedAttributes(inode) {
            if attributes.xattrs == 0 { return [] }
            if let names = inode.xattrNames { return names }
        }
        let mark = mark
        let reply = try await ask(.xattrNames(id), on: inode)
        guard case .names(let names) = reply.answer else { throw nonsense("a question for extended attributes") }
        if mayCache(inode, reply, since: mark) { inode.xattrNames = names }
        return names
    }

    package func setXattr(_ id: InodeID, name: [UInt8], value: [UInt8], mode: XattrMode, groups: [UInt32]?) async throws(Errno) {
        guard !name.isEmpty, name.count <= Limits.xattrNameBytes else { throw .range }
        guard value.count <= Limits.xattrValueBytes else { throw .tooBig }
        let inode = table.obtain(id)
        await settle(inode)
        if let removed = inode.removed { return try setXattr(inode, removed, name, value, mode) }
        var dropsSetGID = false
        if let groups, name == AccessControlList.accessName {
            let attributes = try await currentAttributes(inode)
            dropsSetGID = attributes.mode & 0o2000 != 0 && !groups.contains(attributes.gid)
        }
        try await changeXattr(id, .setXattr(inode: id, name: name, value: value, mode: mode, dropsSetGID: dropsSetGID))
    }

    package func removeXattr(_ id: InodeID, name: [UInt8]) async throws(Errno) {
        guard !name.isEmpty, name.count <= Limits.xattrNameBytes else { throw .range }
        do throws(Errno) {
            if let inode = table.existing(id), inode.removed != nil {
                guard inode.xattrs.removeValue(forKey: name) != nil else { throw .noData }
            } else {
                try await changeXattr(id, .removeXattr(inode: id, name: name))
            }
        } catch {
            // A list that is not there is as good as removed, on every Linux filesystem.
            guard error == .noData, AccessControlList.isName(name) else { throw error }
        }
    }

    /// What the leader knows no more has its attributes here, as its others: see `CachedInode.removed`.
    private func setXattr(
        _ inode: CachedInode, _ removed: Attributes, _ name: [UInt8], _ value: [UInt8], _ mode: XattrMode
    ) throws(Errno) {
        let isPresent = inode.xattrs[name] != nil
        if mode == .create, isPresent { throw .exists }
        if mode == .replace, !isPresent { throw .noData }
        if AccessControlList.isName(name) {
            guard let list = try? AccessControlList(decoding: value), name == AccessControlList.accessName else { throw .invalid }
            inode.removed?.mode = removed.mode & ~0o777 | list.permissions
            if list.isMinimal { return inode.xattrs[name] = nil }
        }
        remember(inode, name, value)
    }

    private func changeXattr(_ id: InodeID, _ command: Command) async throws(Errno) {
        let inode = table.obtain(id)
        inode.pins += 1
        defer { inode.pins -= 1 }
        try await commit(inode)
        let mark = mark
        func forgetKnown() {
            noteChange(inode)
            inode.xattrs = [:]
            inode.xattrNames = nil
            table.recount(inode)
        }
        forgetKnown()
        defer { forgetKnown() }
        let outcome = try await perform(command, on: inode)
        if case .done(let attributes?, _) = outcome { adopt(attributes, since: mark) }
    }
}
