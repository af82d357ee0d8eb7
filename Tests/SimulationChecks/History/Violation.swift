/// A promise that was broken.
package struct Violation: Equatable, Sendable, CustomStringConvertible {
    package enum Rule: String, CaseIterable, Sendable {
        /// No order of the calls on names explains their results.
        case names
        /// No order of the calls on a file's content explains what was read.
        case content
        /// No order of the calls on attributes explains what was seen.
        case attributes
        /// No order of the replacements of a file explains what its readers saw.
        case register
        /// Bytes that nobody ever wrote there.
        case neverWritten
        /// Something acknowledged as durable is gone or changed.
        case lost
        /// Something removed is back.
        case resurrected
        /// An appended line is there twice.
        case duplicated
        /// Appended lines of one client are not in its order.
        case disordered
        /// What is left of un-synced changes is no prefix of them.
        case notPrefix
        /// A file that was replaced by rename is seen empty or in part.
        case halfWritten
        /// One inode id for two files.
        case inodeReused
        /// An unlinked file that is open cannot be used as before.
        case orphan
        /// A block that was acknowledged cannot be had, or is another.
        case block
        /// Two have a lock at once, something was changed without it, or nobody has it and it is not free.
        case locks
        /// A call failed with an error that it may not have.
        case error
        /// Two servers led the metadata service in one term (election safety, figure 3 of the Raft paper).
        case leaders
        /// Replicas of the metadata differ.
        case replicas
        /// The namespace contradicts itself.
        case namespace
        /// Referenced blocks lack copies.
        case copies
        /// A queue is over its limit, or not empty in the end.
        case unbounded
    }

    package var rule: Rule
    /// What it is about: an area, a file, a block.
    package var subject: String
    package var lines: [String]

    package init(_ rule: Rule, _ subject: String, _ lines: [String]) {
        self.rule = rule
        self.subject = subject
        self.lines = lines
    }

    package init(_ rule: Rule, _ subject: String, _ line: String) { self.init(rule, subject, [line]) }

    package var description: String { (["\(rule.rawValue): \(subject)"] + lines.map { "    " + $0 }).joined(separator: "\n") }
}
