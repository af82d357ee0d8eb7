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
    package typealias RowSource = @LoopActor (_ progress: @LoopActor (UInt64) -> Void) async throws(VerificationError) -> (store: MemoryStore, appliedIndex: UInt64)

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
        rings: RingHistory, replicas: ReplicaClient, clock: any Clock, rows: @escaping RowSource, progress: @escaping @LoopActor (Progress) -> Void
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
                        Finding(.namespace, paths: fault.path.map { [$0] } ?? [], inode: fault.inode, block: fault.block, detail: fault.what))
                }
            }
        } catch { throw VerificationError(.corrupt, error.cause) }
        if options.path != nil, selected == nil { throw VerificationError(.notFound, "there is no such path in the tree") }
        report.inodes = namespace.inodes
        report.blocks = UInt64(namespace.references.count)

        var present: [NodeID: [BlockKey: UInt32]] = [:]
        for node in rings.nodes {
            do throws(ReplicaError) { present[node] = try await listing(of: node) } catch {
                report.findings.append(
                    Finding(.unreachable, node: node, detail: "node \(node) does not answer: its copies were not checked (\(error.cause))"))
            }
        }
        let missing = await stillMissing(expected(namespace, present, &report))
        let corrupt = options.isDeep ? await read(namespace, present, &report) : []
        try describe(missing: missing, corrupt: corrupt, namespace, present, &report)
        if options.path == nil { try await findUnreferenced(namespace, present, &report) }
        return report
    }

    /// The replicas that the ring calls for and that a node which answered does not have.
    private func expected(_ namespace: CheckedNamespace, _ present: [NodeID: [BlockKey: UInt32]], _ report: inout Report) -> [NodeID: [BlockKey]] {
        var missing: [NodeID: [BlockKey]] = [:]
        for key in namespace.references.keys.sorted() {
            for node in rings.current.successors(of: key) {
                guard let copies = present[node] else { continue }
                report.replicasChecked += 1
                if copies[key] == nil { missing[node, default: []].append(key) }
            }
        }
        return missing
    }

    /// Looks once more for copies that were on their way during the listing.
    private func stillMissing(_ missing: [NodeID: [BlockKey]]) async -> [NodeID: [BlockKey]] {
        guard !missing.isEmpty else { return [:] }
        await clock.sleep(nanoseconds: Self.grace)
        var left: [NodeID: [BlockKey]] = [:]
        for (node, keys) in missing {
            var rest = keys[...]
            while !rest.isEmpty {
                let part = Array(rest.prefix(BlockKeysRequest.keysMax))
                rest = rest.dropFirst(part.count)
                guard let lengths = try? await replicas.probe(part, on: node, timeout: Self.nodeTimeout) else {
                    left[node, default: []] += part
                    continue
                }
                left[node, default: []] += zip(part, lengths).filter { $0.1 == 0 }.map(\.0)
            }
            if left[node]?.isEmpty == true { left[node] = nil }
        }
        return left
    }

    /// All keys that a node has, with the lengths of their blocks.
    private func listing(of node: NodeID) async throws(ReplicaError) -> [BlockKey: UInt32] {
        var found: [BlockKey: UInt32] = [:]
        var last: BlockKey?
        while true {
            let page = try await replicas.list(after: last, limit: BlockListRequest.limitMax, on: node, timeout: Self.nodeTimeout)
            for block in page { found[block.key] = block.length }
            progress(.listing(node: node, blocks: UInt64(found.count)))
            guard page.count == BlockListRequest.limitMax, let end = page.last?.key else { return found }
            last = end
        }
    }

    /// Has every node read its copies of referenced blocks, all nodes at once.
    private func read(
        _ namespace: CheckedNamespace, _ present: [NodeID: [BlockKey: UInt32]], _ report: inout Report
    ) async -> [(node: NodeID, key: BlockKey)] {
        var work: [(node: NodeID, keys: [BlockKey])] = []
        var total: UInt64 = 0
        for (node, copies) in present.sorted(by: { $0.key < $1.key }) {
            let keys = copies.keys.filter { namespace.references[$0] != nil }.sorted()
            total += keys.reduce(0) { $0 + UInt64(copies[$1] ?? 0) }
            work.append((node, keys))
        }
        let counter = ReadCounter()
        let readers = work.map { item in
            Task { @LoopActor in await self.read(item.keys, on: item.node, sizes: present[item.node] ?? [:], total: total, counter) }
        }
        var bad: [(node: NodeID, key: BlockKey)] = []
        for reader in readers { bad += await reader.value }
        report.replicasRead = counter.replicas
        report.bytesRead = counter.bytes
        for node in counter.silent.sorted() {
            report.findings.append(Finding(.unreachable, node: node, detail: "node \(node) stopped answering while its copies were read"))
        }
        return bad.sorted { ($0.key, $0.node) < ($1.key, $1.node) }
    }

    private func read(
        _ keys: [BlockKey], on node: NodeID, sizes: [BlockKey: UInt32], total: UInt64, _ counter: ReadCounter
    ) async -> [(node: NodeID, key: BlockKey)] {
        var bad: [(node: NodeID, key: BlockKey)] = []
        var rest = keys[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(BlockKeysRequest.checkedKeysMax))
            rest = rest.dropFirst(part.count)
            guard let conditions = try? await replicas.check(part, on: node, timeout: Self.nodeTimeout) else {
                counter.silent.insert(node)
                return bad
            }
            for (key, condition) in zip(part, conditions) where condition != .good { bad.append((node, key)) }
            counter.replicas += UInt64(part.count)
            counter.bytes += part.reduce(0) { $0 + UInt64(sizes[$1] ?? 0) }
            progress(.reading(done: counter.bytes, total: total))
        }
        return bad
    }

    /// Turns missing and corrupt copies into findings with the files they belong to.
    private func describe(
        missing: [NodeID: [BlockKey]], corrupt: [(node: NodeID, key: BlockKey)], _ namespace: CheckedNamespace,
        _ present: [NodeID: [BlockKey: UInt32]], _ report: inout Report
    ) throws(VerificationError) {
        var faults: [(problem: Finding.Problem, node: NodeID, key: BlockKey)] = corrupt.map { (.corrupt, $0.node, $0.key) }
        for (node, keys) in missing.sorted(by: { $0.key < $1.key }) { faults += keys.map { (.missing, node, $0) } }
        guard !faults.isEmpty else { return }
        let affected = Set(faults.map(\.key))
        let paths: [InodeID: String]
        do throws(StoreError) {
            paths = try namespace.paths(of: Set(affected.flatMap { namespace.references[$0]?.uses.map(\.inode) ?? [] }))
        } catch { throw VerificationError(.corrupt, error.cause) }
        var good: [BlockKey: Set<NodeID>] = [:]
        for key in affected {
            good[key] = Set(present.filter { $0.value[key] != nil }.keys).subtracting(corrupt.filter { $0.key == key }.map(\.node))
        }
        for fault in faults {
            let uses = namespace.references[fault.key]?.uses ?? []
            let isRepairable = good[fault.key]?.isEmpty == false
            report.findings.append(
                Finding(
                    fault.problem, paths: Set(uses.compactMap { paths[$0.inode] }).sorted(), inode: uses.first?.inode, block: fault.key,
                    node: fault.node,
                    detail: "\(fault.problem == .corrupt ? "the copy is corrupt" : "the copy is missing") on node \(fault.node)",
                    isRepairable: isRepairable))
        }
        for key in affected.sorted() where good[key]?.isEmpty == true && present.count == rings.nodes.count {
            let uses = namespace.references[key]?.uses ?? []
            report.findings.append(
                Finding(
                    .lost, paths: Set(uses.compactMap { paths[$0.inode] }).sorted(), inode: uses.first?.inode, block: key,
                    detail: "no node has a good copy: \(namespace.references[key]?.length ?? 0) bytes cannot be read"))
        }
    }

    /// Blocks that nodes have and the namespace does not know, neither before nor after the listing.
    private func findUnreferenced(
        _ namespace: CheckedNamespace, _ present: [NodeID: [BlockKey: UInt32]], _ report: inout Report
    ) async throws(VerificationError) {
        var candidates: [Report.Unreferenced] = []
        do throws(StoreError) {
            for (node, copies) in present {
                for (key, length) in copies where try !namespace.knows(key) {
                    candidates.append(Report.Unreferenced(block: key, node: node, length: length))
                }
            }
        } catch { throw VerificationError(.corrupt, error.cause) }
        guard !candidates.isEmpty else { return }
        let later = Rows(try await rows({ _ in }).store)
        do throws(StoreError) {
            for candidate in candidates where try later.reference(candidate.block) == nil { report.unreferenced.append(candidate) }
        } catch { throw VerificationError(.corrupt, error.cause) }
        report.unreferenced.sort { ($0.block, $0.node) < ($1.block, $1.node) }
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
    var silent: Set<NodeID> = []
}
