import Digest
import Model

/// Commands that change one inode.
extension Transaction {
    func update(inode: InodeID, attributes: AttributeChange, edits: [Edit], republished: [BlockKey]) throws(Failure) -> Outcome {
        guard edits.count <= Limits.editsPerUpdate, republished.count <= Limits.keysPerCommand else { throw .refused(.invalid) }
        if let mode = attributes.mode, mode > 0o7777 { throw .refused(.invalid) }
        var record = try self.inode(inode)
        if !edits.isEmpty {
            switch record.attributes.kind {
            case .file: break
            case .directory: throw .refused(.isDirectory)
            default: throw .refused(.invalid)
            }
            var editor = try ContentEditor(record, in: self)
            for edit in edits { try editor.apply(edit) }
            try editor.write(republished: republished)
            record = editor.record
        }
        if let mode = attributes.mode { record.attributes.mode = mode }
        if let uid = attributes.uid { record.attributes.uid = uid }
        if let gid = attributes.gid { record.attributes.gid = gid }
        if let accessed = attributes.accessed { record.attributes.accessed = accessed }
        if let modified = attributes.modified { record.attributes.modified = modified }
        record.attributes.change(at: attributes.changed ?? time)
        put(record)
        return .done(attributes: record.attributes, parents: [])
    }

    /// setxattr(2).
    func setXattr(inode: InodeID, name: [UInt8], value: [UInt8], mode: XattrMode) throws(Failure) -> Outcome {
        guard name.count <= Limits.xattrNameBytes else { throw .refused(.nameTooLong) }
        guard !name.isEmpty, !name.contains(0) else { throw .refused(.invalid) }
        guard value.count <= Limits.xattrValueBytes else { throw .refused(.attributeTooLarge) }
        var record = try self.inode(inode)
        let key = RowKey.xattr(inode, name)
        let present = try get(key)
        if mode == .create, present != nil { throw .refused(.exists) }
        if mode == .replace, present == nil { throw .refused(.noAttribute) }
        let before = present.map { name.count + $0.count } ?? 0
        let total = Int(record.xattrBytes) - before + name.count + value.count
        guard total <= Limits.xattrTotalBytes else { throw .refused(.noSpaceForAttribute) }
        record.xattrBytes = UInt32(clamping: total)
        if present == nil { record.xattrs += 1 }
        put(key, value)
        record.attributes.change(at: time)
        put(record)
        return .done(attributes: record.attributes, parents: [])
    }

    /// removexattr(2).
    func removeXattr(inode: InodeID, name: [UInt8]) throws(Failure) -> Outcome {
        var record = try self.inode(inode)
        let key = RowKey.xattr(inode, name)
        guard let present = try get(key) else { throw .refused(.noAttribute) }
        guard record.xattrs > 0, Int(record.xattrBytes) >= name.count + present.count else {
            throw .store(Rows.corrupt(RowKey.inode(inode)))
        }
        record.xattrs -= 1
        record.xattrBytes -= UInt32(name.count + present.count)
        delete(key)
        record.attributes.change(at: time)
        put(record)
        return .done(attributes: record.attributes, parents: [])
    }
}
