import Glibc
import Namespace

extension NameModel {
    package func describe(_ state: NameState) -> String {
        let entries = state.entries.map { entry in
            let node = state.node(entry.inode)
            return "\(entry.parent)/\(entry.name)→\(Self.id(entry.inode))\(node?.kind == .directory ? "/" : "")"
        }
        return entries.isEmpty ? "empty" : entries.joined(separator: " ")
    }

    private static func id(_ inode: UInt64) -> String {
        inode & NameState.symbolBit == 0 ? "\(inode)" : "?\(inode & ~NameState.symbolBit)"
    }

    package func describe(_ call: NameCall, _ outcome: NameOutcome?) -> String {
        let text =
            switch call {
            case .lookup(let parent, let name): "lookup \(parent)/\(name)"
            case .create(let parent, let name, let kind, let isExclusive, _, _):
                "create \(kind) \(parent)/\(name)\(isExclusive ? "" : " or open it")"
            case .link(let inode, let parent, let name): "link \(inode) as \(parent)/\(name)"
            case .unlink(let parent, let name): "unlink \(parent)/\(name)"
            case .removeDirectory(let parent, let name): "rmdir \(parent)/\(name)"
            case .rename(let from, let name, let to, let newName, let mode):
                "rename (\(mode)) \(from)/\(name) to \(to)/\(newName)"
            case .list(let inode): "list \(inode)"
            case .attributes(let inode): "stat \(inode)"
            case .target(let inode): "readlink \(inode)"
            }
        return "\(text): \(Self.describe(outcome))"
    }

    private static func describe(_ outcome: NameOutcome?) -> String {
        switch outcome {
        case nil: "not known"
        case .done: "done"
        case .failed(let error): String(cString: strerror(error))
        case .target(let target): target
        case .entry(let entry):
            "\(entry.kind) \(entry.inode), links \(entry.links)\(entry.kind == .directory ? ", entries \(entry.entries)" : "")"
        case .listing(let names): "[" + names.map { "\($0.name)→\($0.inode)" }.joined(separator: " ") + "]"
        }
    }
}
