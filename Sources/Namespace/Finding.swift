package import Digest
package import Model

/// Something that is wrong in a namespace.
package struct Finding: Equatable, Sendable, CustomStringConvertible {
    /// The inode it is about, if any.
    package var inode: InodeID?
    /// One way to reach the inode from the root, such as "/a/b", if there is one.
    package var path: String?
    /// The block it is about, if any.
    package var block: BlockKey?
    package var what: String

    package var description: String {
        let subject = [path, inode.map { "inode \($0)" }, block.map { "block \($0)" }].compactMap { $0 }.joined(separator: ", ")
        return subject.isEmpty ? what : "\(subject): \(what)"
    }
}
