package import Digest
package import Model
import Namespace
package import OrderedStore

/// Checks of what replicas and nodes hold at the end of a run, when everything has come to rest.
package enum StateChecks {
    /// What a replica of the metadata says of its state.
    package struct Replica: Equatable, Sendable {
        package var node: NodeID
        package var index: UInt64
        package var digest: BlockKey

        package init(node: NodeID, index: UInt64, digest: BlockKey) {
            self.node = node
            self.index = index
            self.digest = digest
        }
    }

    /// Replicas that have applied the same index have the same digest.
    /// - Parameter mustBeEven: and all have applied the same index.
    package static func digests(_ replicas: [Replica], mustBeEven: Bool) -> [Violation] {
        var violations: [Violation] = []
        var known: [UInt64: Replica] = [:]
        for replica in replicas {
            if let other = known[replica.index] {
                guard other.digest != replica.digest else { continue }
                violations.append(
                    Violation(
                        .replicas, "index \(replica.index)",
                        "node \(other.node) has digest \(other.digest), node \(replica.node) has \(replica.digest)"))
            } else {
                known[replica.index] = replica
            }
        }
        if mustBeEven, known.count > 1 {
            violations.append(Violation(.replicas, "in the end", replicas.map { "node \($0.node) has applied \($0.index)" }))
        }
        return violations
    }

    /// The digest and the index that a store's state row states.
    package static func replica(_ node: NodeID, _ store: any OrderedReader) -> Replica? {
        guard let state = (try? Rows(store).state()) ?? nil else { return nil }
        return Replica(node: node, index: state.appliedIndex, digest: state.digest)
    }

    /// Rows of two stores, one by one: the digest chains what was applied, this shows what is there.
    package static func rows(_ first: NodeID, _ left: any OrderedReader, _ second: NodeID, _ right: any OrderedReader) -> [Violation] {
        do throws(StoreError) {
            var differences: [String] = []
            var rows: [[UInt8]: [UInt8]] = [:]
            try left.scan(from: [], to: nil) { key, value in
                rows[Array(key)] = Array(value)
                return true
            }
            try right.scan(from: [], to: nil) { key, value in
                let key = Array(key)
                if rows.removeValue(forKey: key) != Array(value) { differences.append("row \(hexadecimal(key)) differs") }
                return differences.count < 10
            }
            if differences.count < 10 { differences += rows.keys.map { "row \(hexadecimal($0)) is missing" }.sorted().prefix(10) }
            return differences.isEmpty ? [] : [Violation(.replicas, "nodes \(first) and \(second)", differences)]
        } catch { return [Violation(.replicas, "nodes \(first) and \(second)", "cannot be read: \(error.cause)")] }
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.prefix(40).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// References, links, counts: everything that rows say twice.
    package static func namespace(_ node: NodeID, _ store: any OrderedReader) -> [Violation] {
        do throws(StoreError) {
            let findings = try Invariants.check(store)
            return findings.isEmpty ? [] : [Violation(.namespace, "node \(node)", findings.prefix(20).map(\.description))]
        } catch { return [Violation(.namespace, "node \(node)", "cannot be read: \(error.cause)")] }
    }

    /// Files whose last name is gone and that nobody can have open any more must have been freed.
    package static func orphans(_ node: NodeID, _ store: any OrderedReader) -> [Violation] {
        var left: [String] = []
        do throws(StoreError) {
            try store.scan(from: Table.orphan.prefix, to: Table.orphan.end) { key, _ in
                left.append("inode \(key.dropFirst().reduce(0) { $0 << 8 | UInt64($1) }) has no name and is still there")
                return true
            }
        } catch { return [Violation(.namespace, "node \(node)", "cannot be read: \(error.cause)")] }
        return left.isEmpty ? [] : [Violation(.namespace, "node \(node), orphans", Array(left.prefix(20)))]
    }

    /// Every referenced block has all its copies.
    /// - Parameters:
    ///   - replicas: nodes that a block must be on, by the ring.
    ///   - holds: whether a node has a good copy.
    package static func copies(
        _ store: any OrderedReader, replicas: (BlockKey) -> [NodeID], holds: (NodeID, BlockKey) -> Bool
    ) -> [Violation] {
        do throws(StoreError) {
            var lines: [String] = []
            var missing = 0
            for key in try referenced(store) {
                let without = replicas(key).filter { !holds($0, key) }
                guard !without.isEmpty else { continue }
                missing += 1
                if lines.count < 20 { lines.append("block \(key) is not on \(without.map(\.description).joined(separator: ", "))") }
            }
            return missing == 0 ? [] : [Violation(.copies, "\(missing) blocks lack copies", lines)]
        } catch { return [Violation(.copies, "references", "cannot be read: \(error.cause)")] }
    }

    /// The blocks that files refer to, in order.
    package static func referenced(_ store: any OrderedReader) throws(StoreError) -> [BlockKey] {
        var keys: Set<BlockKey> = []
        try Rows(store).forEach(from: Table.extents.prefix, to: Table.extents.end) { key, value throws(StoreError) in
            // Table, inode (8 bytes), region (4 bytes), both big-endian.
            guard key.count == 13 else { throw StoreError(.corrupt, "a key of extents has \(key.count) bytes") }
            let region = key[9..<13].reduce(0) { $0 << 8 | UInt32($1) }
            guard let row = try? ExtentRow(decoding: value, region: region) else { throw StoreError(.corrupt, "extents") }
            keys.formUnion(row.extents.map(\.key))
            return true
        }
        return keys.sorted()
    }
}
