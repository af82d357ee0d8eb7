package import Filesystem
package import Model
import Namespace
import Runtime

/// The workloads there are.
package enum WorkloadKind: String, CaseIterable, Sendable {
    /// Random operations on names and content in a small tree.
    case tree
    /// Names that everybody makes, moves and removes at once.
    case storm
    /// Names that mostly one client changes, who does not wait for that.
    case homes
    /// Lines appended to shared files.
    case append
    /// A file replaced by write-temp-then-rename.
    case register
    /// Files that are synced, and must be there after any crash.
    case manifest
    /// Bytes at odd places around the sizes where storage changes.
    case image
    /// Hard links, and files that are open without a name.
    case links
    /// Attributes and extended attributes.
    case attributes
    /// Advisory locks, and what they protect.
    case locks
    /// Blocks straight into the ring; needs `WorkloadContext.blocks`.
    case blocks

    /// Makes the directories of these kinds under the root: once in a run, before the workloads.
    @LoopActor
    package static func prepare(_ kinds: [WorkloadKind], _ files: any FileOperations) async throws(Errno) -> [WorkloadKind: InodeID] {
        var areas: [WorkloadKind: InodeID] = [:]
        for kind in kinds {
            let entry = try await files.makeDirectory(.root, Array(kind.rawValue.utf8), mode: 0o755, Caller(uid: 1000, gid: 1000))
            files.forget(entry.attributes.inode, count: 1)
            areas[kind] = entry.attributes.inode
        }
        return areas
    }

    @LoopActor
    package func make(_ context: WorkloadContext) -> any Workload {
        switch self {
        case .tree: TreeWorkload(context)
        case .storm: StormWorkload(context)
        case .homes: HomeWorkload(context)
        case .append: AppendWorkload(context)
        case .register: RegisterWorkload(context)
        case .manifest: ManifestWorkload(context)
        case .image: ImageWorkload(context)
        case .links: LinkWorkload(context)
        case .attributes: AttributeWorkload(context)
        case .locks: LockWorkload(context)
        case .blocks: BlockWorkload(context)
        }
    }
}
