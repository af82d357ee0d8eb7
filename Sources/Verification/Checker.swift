package import Blocks
import Bytes
import Digest
package import Model
package import Namespace
package import OrderedStore
package import Ring
package import Runtime

/// Checks a cluster while it is in use: the namespace against itself, what is referenced against what the nodes have, and, deep, every copy
/// against its key. Changes nothing; `repair` carries out what a check found.
@LoopActor
package final class Checker {
    package struct Options: Sendable {
        /// Read and hash every copy.
        package var isDeep = false
        /// Only blocks of files at or below this path; nil for all, with the namespace and unreferenced blocks.
        package var path: [Name]?

        package init() {}
    }

    /// How far it is, for a progress line.
    package enum Progress: Sendable, Equatable {
        case rows(UInt64)
        case listing(node: NodeID, blocks: UInt64)
        /// In bytes.
        case reading(done: UInt64, total: UInt64)
        case repairing(done: UInt64, total: UInt64)
    }

    /// Copies all rows of the namespace as of one log index.
    package typealias RowSource =
        @LoopActor (_ progress: @LoopActor (UInt64) -> Void) async throws(VerificationError) -> (store: MemoryStore, appliedIndex: UInt64)

    /// A copy that is not as it should be.
    private struct Fault {
        var problem: Finding.Problem
        var node: NodeID
        var key: BlockKey
    }

    private let rings: RingHistory
    private let replicas: ReplicaClient
    private let clock: any Clock
    private let rows: RowSource
    private let progress: @LoopActor (Progress) -> Void

    /// How long a node may take for one page of keys or one batch to be read, in nanoseconds.
    private static let nodeTimeout = 120 * Nanoseconds.second
    /// A copy that is missing may only be late; it is looked for again after this.
    private static let grace = 2 * Nanoseconds.second

    package init(
        rings: RingHistory, replicas: ReplicaClient, clock: any Clock, rows: @escaping RowSource,
        progress: @escaping @LoopActor (Progress) -> Void
    ) {
        self.rings = rings
        self.replicas = replicas
        self.clock = clock
        self.rows = rows
        self.progress = progress
    }

    package func check(_ options: Options) async throws(VerificationError) -> Report {
        var report = Report()
        let (copy, index) = try await rows { self.progress(.rows($0)) }
        report.appliedIndex = index
        var selected: Set<InodeID>?
        let namespace: CheckedNamespace
        do throws(StoreError) {
            if let path = options.path { selected = try CheckedNamespace(copy, selected: []).subtree(at: path) }
            namespace = try CheckedNamespace(copy, selected: options.path == nil ? nil : selected ?? [])
            if options.path == nil {
                for fault in try Invariants.check(copy) {
                    report.findings.append(
                        Finding(
                            .namespace, paths: fault.path.map { [$0] } ?? [], inode: fault.inode, block: fault.block, detail: fault.what))
                }
            }
        } catch { throw VerificationError(.corrupt, error.cause) }
        if options.path != nil {
            guard selected != nil else { throw VerificationError(.notFound, "there is no such path in the tree") }
            for inode in namespace.unreadable.sorted() {
                report.findings.append(Finding(.namespace, inode: inode, detail: "has extents that cannot be read"))
            }
        }
        report.inodes = namespace.inodes
        report.blocks = UInt64(namespace.references.count)

        var silent: [NodeID: String] = [:]
        var present: [NodeID: NodeCopies] = [:]
        for node in rings.nodes {
            do throws(ReplicaError) { present[node] = try await listing(of: node) } catch {
                silent[node] = "does not answer: its copies were not checked (\(error.cause))"
            }
        }
        if options.isDeep { await read(namespace, &present, &silent, &report) }
        let missing = await stillMissing(expected(namespace, present, &report), &present, &silent)
        var faults = self.faults(missing, namespace, present)
        var leftovers = options.path == nil ? unreferenced(namespace, present) : []
        if !faults.isEmpty || !leftovers.isEmpty { try await dropChanged(since: namespace, &faults, &leftovers) }
        report.unreferenced = leftovers
        for (node, what) in silent.sorted(by: { $0.key < $1.key }) {
            report.findings.append(Finding(.unreachable, node: node, detail: "node \(node) \(what)"))
        }
        try describe(faults, namespace, present, isComplete: silent.isEmpty, &report)
        return report
    }

    /// The replicas that the ring calls for and that a node which answered does not have.
    private func expected(_ namespace: CheckedNamespace, _ present: [NodeID: NodeCopies], _ report: inout Report) -> [NodeID: [BlockKey]] {
        var missing: [NodeID: [BlockKey]] = [:]
        for key in namespace.references.keys.sorted() {
            for node in rings.current.successors(of: key) {
                guard let copies = present[node] else { continue }
                report.replicasChecked += 1
                if copies.lengths[key] == nil { missing[node, default: []].append(key) }
            }
        }
        return missing
    }

    /// Looks once more for copies that were on their way during the listing. Those that have come are added to `present`; a node that no
    /// longer answers is added to `silent`, and nothing is said about its copies.
    private func stillMissing(
        _ missing: [NodeID: [BlockKey]], _ present: inout [NodeID: NodeCopies], _ silent: inout [NodeID: String]
    ) async -> [Fault] {
        guard !missing.isEmpty else { return [] }
        await clock.sleep(nanoseconds: Self.grace)
        var left: [Fault] = []
        for (node, keys) in missing {
            var rest = keys[...]
            while !rest.isEmpty {
                let part = Array(rest.prefix(BlockKeysRequest.keysMax))
                rest = rest.dropFirst(part.count)
                let lengths: [UInt32]
                do throws(ReplicaError) { lengths = try await replicas.probe(part, on: node, timeout: Self.nodeTimeout) } catch {
                    if silent[node] == nil { silent[node] = "stopped answering while missing copies were looked for (\(error.cause))" }
                    break
                }
                for (key, length) in zip(part, lengths) {
                    if length > 0 {
                        present[node]?.lengths[key] = length
                    } else {
                        left.append(Fault(problem: .missing, node: node, key: key))
                    }
                }
            }
        }
        return left
    }

    /// What is missing, and the bad copies of referenced blocks, ordered by block and node.
    private func faults(_ missing: [Fault], _ namespace: CheckedNamespace, _ present: [NodeID: NodeCopies]) -> [Fault] {
        var faults = missing
        for (node, copies) in present {
            for key in copies.bad where namespace.references[key] != nil { faults.append(Fault(problem: .corrupt, node: node, key: key)) }
        }
        return faults.sorted { ($0.key, $0.node) < ($1.key, $1.node) }
    }

    /// Copies the rows again and drops what is explained by changes since the first time: blocks that were given up lose their copies, and
    /// blocks of files that have been written meanwhile belong to somebody.
    private func dropChanged(
        since namespace: CheckedNamespace, _ faults: inout [Fault], _ leftovers: inout [Report.Unreferenced]
    ) async throws(VerificationError) {
        let later = try await rows({ _ in }).store
        faults.removeAll { fault in
            // Where the row of a referenced block was missing from the start, its absence says nothing.
            guard namespace.knows(fault.key) else { return false }
            guard later.get(RowKey.reference(fault.key)) != nil else { return true }
            guard let record = try? Rows(later).reference(fault.key) else { return false }
            return record.state != .live
        }
        leftovers.removeAll { later.get(RowKey.reference($0.block)) != nil }
    }

    /// All copies that a node has.
    private func listing(of node: NodeID) async throws(ReplicaError) -> NodeCopies {
        var found = NodeCopies()
        var last: BlockKey?
        while true {
            let page = try await replicas.list(after: last, limit: BlockListRequest.limitMax, on: node, timeout: Self.nodeTimeout)
            for block in page {
                found.lengths[block.key] = block.length
                if block.isBad { found.bad.insert(block.key) }
            }
            progress(.listing(node: node, blocks: UInt64(found.lengths.count)))
            guard page.count == BlockListRequest.limitMax, let end = page.last?.key else { return found }
            last = end
        }
    }

    /// Has every node read its copies of referenced blocks, all nodes at once, and notes in `present` what they found.
    private func read(
        _ namespace: CheckedNamespace, _ present: inout [NodeID: NodeCopies], _ silent: inout [NodeID: String], _ report: inout Report
    ) async {
        var work: [(node: NodeID, keys: [BlockKey], lengths: [BlockKey: UInt32])] = []
        var total: UInt64 = 0
        for (node, copies) in present.sorted(by: { $0.key < $1.key }) {
            let keys = copies.lengths.keys.filter { namespace.references[$0] != nil }.sorted()
            total += keys.reduce(0) { $0 + UInt64(copies.lengths[$1] ?? 0) }
            work.append((node, keys, copies.lengths))
        }
        let counter = ReadCounter()
        let readers = work.map { item in
            (item.node, Task { @LoopActor in await self.read(item.keys, on: item.node, sizes: item.lengths, total: total, counter) })
        }
        for (node, reader) in readers {
            for (key, condition) in await reader.value {
                switch condition {
                case .good: present[node]?.bad.remove(key)
                case .corrupt: present[node]?.bad.insert(key)
                case .missing:
                    present[node]?.lengths[key] = nil
                    present[node]?.bad.remove(key)
                }
            }
        }
        report.replicasRead = counter.replicas
        report.bytesRead = counter.bytes
        for (node, cause) in counter.silent { silent[node] = "stopped answering while its copies were read (\(cause))" }
    }

    /// - Returns: the conditions of the copies that were read.
    private func read(
        _ keys: [BlockKey], on node: NodeID, sizes: [BlockKey: UInt32], total: UInt64, _ counter: ReadCounter
    ) async -> [(key: BlockKey, condition: BlockCondition)] {
        var found: [(key: BlockKey, condition: BlockCondition)] = []
        var rest = keys[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(BlockKeysRequest.checkedKeysMax))
            rest = rest.dropFirst(part.count)
            do throws(ReplicaError) {
                for (key, condition) in zip(part, try await replicas.check(part, on: node, timeout: Self.nodeTimeout)) {
                    found.append((key, condition))
                }
            } catch {
                counter.silent[node] = error.cause
                return found
            }
            counter.replicas += UInt64(part.count)
            counter.bytes += part.reduce(0) { $0 + UInt64(sizes[$1] ?? 0) }
            progress(.reading(done: counter.bytes, total: total))
        }
        return found
    }

    /// Turns missing and corrupt copies into findings with the files they belong to.
    /// - Parameter isComplete: every node has said what it has.
    private func describe(
        _ faults: [Fault], _ namespace: CheckedNamespace, _ present: [NodeID: NodeCopies], isComplete: Bool, _ report: inout Report
    ) throws(VerificationError) {
        guard !faults.isEmpty else { return }
        let affected = Set(faults.map(\.key))
        let paths: [InodeID: String]
        do throws(StoreError) {
            paths = try namespace.paths(of: Set(affected.flatMap { namespace.references[$0]?.uses.map(\.inode) ?? [] }))
        } catch { throw VerificationError(.corrupt, error.cause) }
        let mendable = affected.filter { key in present.values.contains { $0.hasGood(key) } }
        for fault in faults {
            let uses = namespace.references[fault.key]?.uses ?? []
            report.findings.append(
                Finding(
                    fault.problem, paths: Set(uses.compactMap { paths[$0.inode] }).sorted(), inode: uses.first?.inode, block: fault.key,
                    node: fault.node,
                    detail: "\(fault.problem == .corrupt ? "the copy is corrupt" : "the copy is missing") on node \(fault.node)",
                    isRepairable: mendable.contains(fault.key)))
        }
        for key in affected.sorted() where isComplete && !mendable.contains(key) {
            let uses = namespace.references[key]?.uses ?? []
            report.findings.append(
                Finding(
                    .lost, paths: Set(uses.compactMap { paths[$0.inode] }).sorted(), inode: uses.first?.inode, block: key,
                    detail: "no node has a good copy: \(namespace.references[key]?.length ?? 0) bytes cannot be read"))
        }
    }

    /// Copies of blocks that the namespace does not know, ordered by block and node.
    private func unreferenced(_ namespace: CheckedNamespace, _ present: [NodeID: NodeCopies]) -> [Report.Unreferenced] {
        var found: [Report.Unreferenced] = []
        for (node, copies) in present {
            for (key, length) in copies.lengths where !namespace.knows(key) {
                found.append(Report.Unreferenced(block: key, node: node, length: length))
            }
        }
        return found.sorted { ($0.block, $0.node) < ($1.block, $1.node) }
    }

    /// Copies good replicas over missing and corrupt ones.
    /// - Returns: the report with what was mended taken out of the findings.
    package func repair(_ report: Report) async -> Report {
        var result = report
        result.findings = []
        let repairable = report.findings.filter(\.isRepairable).count
        var done: UInt64 = 0
        for finding in report.findings {
            guard finding.isRepairable, let key = finding.block, let node = finding.node else {
                result.findings.append(finding)
                continue
            }
            do throws(ReplicaError) {
                try await replicas.pull(key, to: node, from: [], timeout: Self.nodeTimeout)
                result.repaired += 1
            } catch {
                var left = finding
                left.detail += "; repair failed: \(error.cause)"
                result.findings.append(left)
            }
            done += 1
            progress(.repairing(done: done, total: UInt64(repairable)))
        }
        return result
    }
}

/// What the readers of all nodes have done so far.
@LoopActor
private final class ReadCounter {
    var replicas: UInt64 = 0
    var bytes: UInt64 = 0
    /// Nodes that stopped answering, and what was noticed of it.
    var silent: [NodeID: String] = [:]
}
