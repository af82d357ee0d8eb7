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
        if let mode = attributes.mode {
            record.attributes.mode = mode
            try followMode(record.attributes)
        }
        if let uid = attributes.uid { record.attributes.uid = uid }
        if let gid = attributes.gid { record.attributes.gid = gid }
        if let accessed = attributes.accessed { record.attributes.accessed = accessed }
        if let modified = attributes.modified { record.attributes.modified = modified }
        // What was changed before something else comes after it if it was kept back in a client. A time of change that is in the future does not stay.
        let latest = min(record.attributes.changed, time)
        record.attributes.change(at: max(latest, attributes.changed ?? time))
        put(record)
        return .done(attributes: record.attributes, parents: [])
    }
}
