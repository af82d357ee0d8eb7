package import Model
import Namespace
package import Runtime

/// The names in one directory and below, as all clients see them.
@LoopActor
package final class NameLedger: Ledger {
    package let area: String
    package let root: InodeID
    package let recorder: Recorder
    package let history: History<NameCall, NameOutcome>

    /// - Parameter root: a directory that was empty when the run began, and stays.
    package init(area: String, root: InodeID, recorder: Recorder) {
        self.area = area
        self.root = root
        self.recorder = recorder
        history = History(recorder)
    }

    /// Walks the tree.
    package func readFinal(_ reader: FinalReader) async {
        let names = RecordedNames(reader.files, reader.client, self)
        var waiting = [root]
        var visited: Set<InodeID> = []
        while let directory = waiting.popLast() {
            guard visited.insert(directory).inserted, let listing = await names.list(directory) else { continue }
            _ = await names.attributes(directory)
            for item in listing {
                let entry = await names.lookup(directory, item.name)
                if entry?.kind == .directory, let inode = entry?.inode { waiting.append(inode) }
            }
        }
    }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        let binding = history.operations(
            writtenBehind: { $0.mayBeWrittenBehind }, durable: { $0.isDurable }, changes: { $0.changes },
            hasFailed: { if case .failed = $0 { true } else { false } }, undecided: { $0.undecided($1) })
        let operations = binding.filter { $0.outcome != nil || $0.call.changes }
        report.operations = history.operations.count
        report.open = history.operations.count { $0.outcome == nil }
        report.failed = history.operations.count { if case .failed = $0.outcome { true } else { false } }
        let model = NameModel(root: root.rawValue, kinds: kinds)
        report.add(Linearizability.check(model, operations, bound: bound), .names, area)
        return report
    }

    /// Of all inodes that anybody was shown.
    private var kinds: [UInt64: FileKind] {
        var kinds: [UInt64: FileKind] = [:]
        for operation in history.operations {
            switch operation.outcome {
            case .entry(let entry): kinds[entry.inode] = entry.kind
            case .listing(let names): for name in names { kinds[name.inode] = name.kind }
            default: continue
            }
        }
        return kinds
    }
}

extension NameCall {
    /// Whether it may return before it is durable.
    var mayBeWrittenBehind: Bool {
        switch self {
        case .create, .unlink, .removeDirectory, .rename: true
        default: false
        }
    }

    /// Whether the leader has carried it out when it succeeds.
    var isDurable: Bool { if case .link = self { true } else { false } }

    /// A creation that nobody may have made, but of no other inode than was told.
    func undecided(_ outcome: NameOutcome) -> NameCall {
        guard case .create(let parent, let name, let kind, let isExclusive, let target, _) = self, case .entry(let entry) = outcome else { return self }
        return .create(parent: parent, name: name, kind: kind, isExclusive: isExclusive, target: target, symbol: entry.inode)
    }

    /// Whether it can change names.
    var changes: Bool {
        switch self {
        case .create, .link, .unlink, .removeDirectory, .rename: true
        case .lookup, .list, .attributes, .target: false
        }
    }
}
