import Glibc
import Namespace

/// Extended attributes that are answered without asking the filesystem.
enum XattrPolicy {
    /// The error for every operation on a name that is not stored; 0 where the filesystem is to be asked.
    ///
    /// - Names outside of the namespaces of xattr(7) are no extended attributes.
    /// - Of "system." there are the two access control lists.
    /// - "security.selinux" belongs to a machine's own policy, which answers for it before we are asked and lets nobody set it on FUSE. Elsewhere ls(1) asks for
    ///   it with each file, but for no other once it hears that there is no such thing here.
    static func refusal(_ name: [UInt8]) -> Int32 {
        guard !AccessControlList.isName(name) else { return 0 }
        guard !name.elementsEqual("security.selinux".utf8) else { return EOPNOTSUPP }
        guard ["user.", "trusted.", "security."].contains(where: { name.starts(with: $0.utf8) && name.count > $0.utf8.count }) else { return EOPNOTSUPP }
        return 0
    }

    /// Whether listxattr(2) shows a name: "trusted." is for root's eyes only, xattr(7).
    static func isListed(_ name: [UInt8], to uid: UInt32) -> Bool { uid == 0 || !name.starts(with: "trusted.".utf8) }
}
