import Bytes
import Model

/// Extended attributes (xattr(7)), and access control lists (acl(5)) as the two of them that mean something here.
extension Transaction {
    /// setxattr(2).
    func setXattr(inode: InodeID, name: [UInt8], value: [UInt8], mode: XattrMode, dropsSetGID: Bool) throws(Failure) -> Outcome {
        guard name.count <= Limits.xattrNameBytes else { throw .refused(.nameTooLong) }
        guard !name.isEmpty, !name.contains(0) else { throw .refused(.invalid) }
        guard value.count <= Limits.xattrValueBytes else { throw .refused(.attributeTooLarge) }
        var record = try self.inode(inode)
        let present = try get(RowKey.xattr(inode, name))
        if mode == .create, present != nil { throw .refused(.exists) }
        if mode == .replace, present == nil { throw .refused(.noAttribute) }
        var isSaidByMode = false
        if AccessControlList.isName(name) {
            guard let list = try? AccessControlList(decoding: value), record.attributes.kind != .symlink else { throw .refused(.invalid) }
            if name == AccessControlList.accessName {
                record.attributes.mode = record.attributes.mode & ~0o777 | list.permissions
                if dropsSetGID { record.attributes.mode &= ~0o2000 }
                isSaidByMode = list.isMinimal
            } else if record.attributes.kind != .directory {
                throw .refused(.invalid)
            }
        }
        if isSaidByMode {
            if let present { try drop(name, value: present, of: &record) }
        } else {
            try store(name, value: value, replacing: present, of: &record)
        }
        record.attributes.change(at: shown)
        put(record)
        return .done(attributes: record.attributes, parents: [])
    }

    /// removexattr(2).
    func removeXattr(inode: InodeID, name: [UInt8]) throws(Failure) -> Outcome {
        var record = try self.inode(inode)
        guard let present = try get(RowKey.xattr(inode, name)) else { throw .refused(.noAttribute) }
        try drop(name, value: present, of: &record)
        record.attributes.change(at: shown)
        put(record)
        return .done(attributes: record.attributes, parents: [])
    }

    /// The access control lists of a new inode: those that the directory's default list leads to, or none, and then the umask counts
    /// (posix_acl_create, fs/posix_acl.c). The caller writes the record.
    func inheritLists(_ record: inout InodeRecord, from directory: InodeRecord, umask: UInt16) throws(Failure) {
        guard let list = try list(AccessControlList.defaultName, of: directory.attributes) else {
            record.attributes.mode &= ~umask
            return
        }
        var access = list
        access.permissions &= record.attributes.mode
        record.attributes.mode = record.attributes.mode & ~0o777 | access.permissions
        if !access.isMinimal { try store(AccessControlList.accessName, value: access.encoded, replacing: nil, of: &record) }
        if record.attributes.kind == .directory { try store(AccessControlList.defaultName, value: list.encoded, replacing: nil, of: &record) }
    }

    /// chmod(2) changes the access control list along with the mode.
    func followMode(_ attributes: Attributes) throws(Failure) {
        guard var list = try list(AccessControlList.accessName, of: attributes) else { return }
        list.permissions = attributes.mode & 0o777
        put(RowKey.xattr(attributes.inode, AccessControlList.accessName), list.encoded)
    }

    private func list(_ name: [UInt8], of attributes: Attributes) throws(Failure) -> AccessControlList? {
        attributes.xattrs > 0 ? try value(RowKey.xattr(attributes.inode, name)) : nil
    }

    // MARK: Rows. The caller writes the record.

    private func store(_ name: [UInt8], value: [UInt8], replacing present: [UInt8]?, of record: inout InodeRecord) throws(Failure) {
        let before = present.map { name.count + $0.count } ?? 0
        let total = Int(record.xattrBytes) - before + name.count + value.count
        guard total <= Limits.xattrTotalBytes else { throw .refused(.noSpaceForAttribute) }
        record.xattrBytes = UInt32(clamping: total)
        if present == nil { record.attributes.xattrs += 1 }
        put(RowKey.xattr(record.attributes.inode, name), value)
    }

    private func drop(_ name: [UInt8], value: [UInt8], of record: inout InodeRecord) throws(Failure) {
        guard record.attributes.xattrs > 0, Int(record.xattrBytes) >= name.count + value.count else {
            throw .store(Rows.corrupt(RowKey.inode(record.attributes.inode)))
        }
        record.attributes.xattrs -= 1
        record.xattrBytes -= UInt32(name.count + value.count)
        delete(RowKey.xattr(record.attributes.inode, name))
    }
}
