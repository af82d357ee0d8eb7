import Glibc
import Namespace

/// Extended attributes that are answered without asking the filesystem.
enum XattrPolicy {
    /// The error for every operation on a name that is not stored; 0 where the filesystem is to be asked.
    ///
    /// - Names outside of the namespaces of xattr(7) are no extended attributes.
    /// - Of "system." there are the two access control lists.
    /// - "security.capability" means nothing under nosuid. The kernel asks for it before every write, which would double the round
    ///   trips of small writes.
    static func refusal(_ name: [UInt8], noSetID: Bool, reading: Bool) -> Int32 {
        guard !AccessControlList.isName(name) else { return 0 }
        guard ["user.", "trusted.", "security."].contains(where: { name.starts(with: $0.utf8) && name.count > $0.utf8.count }) else { return EOPNOTSUPP }
        if noSetID && name.elementsEqual("security.capability".utf8) { return reading ? ENODATA : EOPNOTSUPP }
        return 0
    }

    /// Whether listxattr(2) shows a name: "trusted." is for root's eyes only, xattr(7).
    static func isListed(_ name: [UInt8], to uid: UInt32) -> Bool { uid == 0 || !name.starts(with: "trusted.".utf8) }
}
