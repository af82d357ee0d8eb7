import Glibc

/// Extended attributes that are answered without asking the filesystem.
enum XattrPolicy {
    /// The error for every operation on a name that is not stored; 0 where the filesystem is to be asked.
    ///
    /// - "system." holds access control lists, which the mount does not enforce and so must not store.
    /// - "security.capability" means nothing under nosuid. The kernel asks for it before every write, which would double the round
    ///   trips of small writes.
    static func refusal(_ name: [UInt8], noSetID: Bool, reading: Bool) -> Int32 {
        if name.starts(with: "system.".utf8) { return EOPNOTSUPP }
        if noSetID && name.elementsEqual("security.capability".utf8) { return reading ? ENODATA : EOPNOTSUPP }
        return 0
    }
}
