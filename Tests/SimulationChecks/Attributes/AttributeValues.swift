package import Namespace

/// What chmod(2), chown(2) and utimensat(2) set. nil: not known.
package struct AttributeValues: Hashable, Sendable {
    package var mode: UInt16?
    package var uid: UInt32?
    package var gid: UInt32?
    package var accessed: Timestamp?
    package var modified: Timestamp?

    package init(mode: UInt16? = nil, uid: UInt32? = nil, gid: UInt32? = nil, accessed: Timestamp? = nil, modified: Timestamp? = nil) {
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.accessed = accessed
        self.modified = modified
    }

    package init(_ attributes: Attributes) {
        self.init(
            mode: attributes.mode, uid: attributes.uid, gid: attributes.gid, accessed: attributes.accessed, modified: attributes.modified)
    }

    package init(_ change: AttributeChange) {
        self.init(mode: change.mode, uid: change.uid, gid: change.gid, accessed: change.accessed, modified: change.modified)
    }

    /// Values of `newer` that are known replace those here.
    mutating func absorb(_ newer: AttributeValues) {
        mode = newer.mode ?? mode
        uid = newer.uid ?? uid
        gid = newer.gid ?? gid
        accessed = newer.accessed ?? accessed
        modified = newer.modified ?? modified
    }

    /// Whether two views may be of the same attributes.
    func agrees(with other: AttributeValues) -> Bool {
        func same<Value: Equatable>(_ left: Value?, _ right: Value?) -> Bool { left == nil || right == nil || left == right }
        return same(mode, other.mode) && same(uid, other.uid) && same(gid, other.gid) && same(accessed, other.accessed)
            && same(modified, other.modified)
    }
}

extension AttributeValues: CustomStringConvertible {
    package var description: String {
        var parts: [String] = []
        if let mode { parts.append("mode \(String(mode, radix: 8))") }
        if let uid { parts.append("uid \(uid)") }
        if let gid { parts.append("gid \(gid)") }
        if let accessed { parts.append("atime \(accessed)") }
        if let modified { parts.append("mtime \(modified)") }
        return parts.joined(separator: " ")
    }
}
