package import Digest
package import Model

/// One thing that is wrong.
package struct Finding: Equatable, Sendable {
    package enum Problem: String, CaseIterable, Sendable {
        /// The namespace contradicts itself.
        case namespace
        /// A replica that should be on this node is not there.
        case missing
        /// The copy on this node does not match its key or its checksums.
        case corrupt
        /// No node has a good copy: these bytes of the file cannot be read.
        case lost
        /// The node does not answer, so its copies could not be checked.
        case unreachable
    }

    package var problem: Problem
    /// Paths of files that are affected, from the root of the tree; at most `pathsMax`. Empty where none is.
    package var paths: [String]
    package var inode: InodeID?
    package var block: BlockKey?
    package var node: NodeID?
    /// One line for a person.
    package var detail: String
    /// Whether `--repair` can mend it.
    package var isRepairable: Bool

    package static let pathsMax = 8

    package init(
        _ problem: Problem, paths: [String] = [], inode: InodeID? = nil, block: BlockKey? = nil, node: NodeID? = nil, detail: String,
        isRepairable: Bool = false
    ) {
        self.problem = problem
        self.paths = paths
        self.inode = inode
        self.block = block
        self.node = node
        self.detail = detail
        self.isRepairable = isRepairable
    }
}

/// What a run of `Checker` found and did.
package struct Report: Equatable, Sendable {
    package var findings: [Finding] = []
    package var inodes: UInt64 = 0
    package var blocks: UInt64 = 0
    /// Replicas whose existence was checked, and those that were read and hashed.
    package var replicasChecked: UInt64 = 0
    package var replicasRead: UInt64 = 0
    package var bytesRead: UInt64 = 0
    /// Blocks on nodes that nothing refers to. Writes under way look like this too, so they are no findings.
    package var unreferenced: [Unreferenced] = []
    package var repaired: UInt64 = 0
    /// The log index of the state that was checked.
    package var appliedIndex: UInt64 = 0

    package struct Unreferenced: Equatable, Sendable {
        package var block: BlockKey
        package var node: NodeID
        /// Of the content, in bytes.
        package var length: UInt32
    }

    package init() {}

    /// As fsck(8): 0 clean, 1 all was repaired, 4 something is left.
    package var exitCode: Int32 { findings.isEmpty ? (repaired > 0 ? 1 : 0) : 4 }
}

/// Why a verification could not be carried out.
package struct VerificationError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The metadata service does not answer.
        case unavailable
        /// The path is not there.
        case notFound
        /// Rows of the namespace cannot be read.
        case corrupt
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
