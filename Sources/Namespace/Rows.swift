import Bytes
package import Digest
package import Model
package import OrderedStore

/// Reads the namespace's rows from a store, a snapshot, or a copy of the rows elsewhere.
package struct Rows {
    private let reader: any OrderedReader

    package init(_ reader: any OrderedReader) { self.reader = reader }

    package func state() throws(StoreError) -> StateRecord? { try value(RowKey.state) }
    package func inode(_ inode: InodeID) throws(StoreError) -> InodeRecord? {
        guard let record: InodeRecord = try value(RowKey.inode(inode)) else { return nil }
        guard record.attributes.inode == inode else { throw StoreError(.corrupt, "the row of inode \(inode) is that of another") }
        return record
    }
    package func entry(_ parent: InodeID, _ name: Name) throws(StoreError) -> EntryRecord? { try value(RowKey.entry(parent, name.bytes)) }
    package func location(_ directory: InodeID) throws(StoreError) -> Name? { try value(RowKey.location(directory)) }
    package func reference(_ block: BlockKey) throws(StoreError) -> ReferenceRecord? { try value(RowKey.reference(block)) }
    package func session(_ session: SessionID) throws(StoreError) -> SessionRecord? { try value(RowKey.session(session)) }
    package func outcome(_ session: SessionID, _ sequence: UInt64) throws(StoreError) -> Outcome? {
        try value(RowKey.outcome(session, sequence))
    }
    package func record(_ key: String) throws(StoreError) -> ClusterRecord? { try value(RowKey.record(key)) }
    package func symlink(_ inode: InodeID) throws(StoreError) -> [UInt8]? { try reader.get(RowKey.symlink(inode)) }
    package func inline(_ inode: InodeID) throws(StoreError) -> [UInt8]? { try reader.get(RowKey.inline(inode)) }
    package func xattr(_ inode: InodeID, _ name: [UInt8]) throws(StoreError) -> [UInt8]? { try reader.get(RowKey.xattr(inode, name)) }

    /// The extents of a region; empty where it has no row.
    package func extents(_ inode: InodeID, region: UInt32) throws(StoreError) -> [Extent] {
        let key = RowKey.extents(inode, region: region)
        guard let bytes = try reader.get(key) else { return [] }
        return try Self.extents(bytes, region: region, key: key)
    }

    /// At most `limit` pairs with `lower <= key < upper`, copied.
    package func pairs(from lower: [UInt8], to upper: [UInt8]?, limit: Int = .max) throws(StoreError) -> [(key: [UInt8], value: [UInt8])] {
        var pairs: [(key: [UInt8], value: [UInt8])] = []
        guard limit > 0 else { return [] }
        try unsafe reader.scan(from: lower, to: upper) { key, value in
            unsafe pairs.append((Array(key), Array(value)))
            return pairs.count < limit
        }
        return pairs
    }

    /// At most `limit` entries of a directory behind `after` (nil: from the start), in the order of their bytes, without attributes.
    package func entries(of directory: InodeID, after: Name?, limit: Int) throws(StoreError) -> [DirectoryEntry] {
        let prefix = RowKey.entry(directory, [])
        // The next key after a name's is the one with a zero byte more.
        let lower = after.map { RowKey.entry(directory, $0.bytes) + [0] } ?? prefix
        var entries: [DirectoryEntry] = []
        var corrupt: [UInt8]?
        try unsafe reader.scan(from: lower, to: RowKey.end(.entry, directory.rawValue)) { key, value in
            guard let name = unsafe Name(Array(UnsafeRawBufferPointer(rebasing: key[prefix.count...]))),
                let record = try? unsafe EntryRecord(decoding: value)
            else {
                corrupt = unsafe Array(key)
                return false
            }
            entries.append(DirectoryEntry(name: name, inode: record.inode, kind: record.kind, attributes: nil))
            return entries.count < limit
        }
        if let corrupt { throw Self.corrupt(corrupt) }
        return entries
    }

    /// Visits the pairs with `lower <= key < upper` in bounded steps until `visit` returns false; `visit` may throw.
    package func forEach(
        from lower: [UInt8], to upper: [UInt8]?, _ visit: (_ key: [UInt8], _ value: [UInt8]) throws(StoreError) -> Bool
    ) throws(StoreError) {
        let step = 512
        var next = lower
        while true {
            let pairs = try pairs(from: next, to: upper, limit: step)
            for pair in pairs where try !visit(pair.key, pair.value) { return }
            guard pairs.count == step, let last = pairs.last else { return }
            next = last.key + [0]
        }
    }

    /// The blocks that files refer to, with keys above `after`, in order, at most `limit`.
    package func blocksInUse(after: BlockKey?, limit: Int) throws(StoreError) -> [BlockKey] {
        var blocks: [BlockKey] = []
        let lower = after.map { RowKey.reference($0) + [0] } ?? Table.reference.prefix
        try forEach(from: lower, to: Table.reference.end) { key, value throws(StoreError) in
            var fields = KeyFields(key)
            guard let block = fields.block(), fields.isAtEnd, let record = try? ReferenceRecord(decoding: value) else { throw Self.corrupt(key) }
            if record.count > 0 { blocks.append(block) }
            return blocks.count < limit
        }
        return blocks
    }

    /// Visits every extent of every file: which block a file refers to, and where.
    package func forEachReference(_ visit: (_ inode: InodeID, _ extent: Extent) throws(StoreError) -> Bool) throws(StoreError) {
        try forEach(from: Table.extents.prefix, to: Table.extents.end) { key, value throws(StoreError) in
            var fields = KeyFields(key)
            guard let inode = fields.unsigned64(), let region = fields.unsigned32(), fields.isAtEnd else { throw Self.corrupt(key) }
            for extent in try Self.extents(value, region: region, key: key) {
                guard try visit(InodeID(rawValue: inode), extent) else { return false }
            }
            return true
        }
    }

    /// The way from a directory to the root: the directory first. Shorter where the directory is removed but still open.
    /// - Throws: `.corrupt` where the way does not end.
    package func path(of directory: InodeRecord) throws(StoreError) -> (attributes: [Attributes], names: [Name]) {
        var attributes = [directory.attributes]
        var names: [Name] = []
        var current = directory.attributes
        // A way that goes round comes by the same directory again, at the latest when it has gone as far as it had come (Brent 1980).
        var passed = current.inode
        while current.inode != .root, current.links > 0 {
            if names.count.nonzeroBitCount == 1 { passed = current.inode }
            guard names.count < Limits.pathDepth, let name = try location(current.inode), let parent = try inode(current.parent) else {
                throw StoreError(.corrupt, "directory \(current.inode) leads to no root")
            }
            names.append(name)
            attributes.append(parent.attributes)
            current = parent.attributes
            if current.inode == passed { throw StoreError(.corrupt, "directory \(directory.attributes.inode) leads to no root") }
        }
        return (attributes, names)
    }

    static func decode<Value: ByteCodable>(_ bytes: [UInt8], key: [UInt8]) throws(StoreError) -> Value {
        do throws(DecodeError) { return try Value(decoding: bytes) } catch { throw corrupt(key) }
    }

    static func extents(_ bytes: [UInt8], region: UInt32, key: [UInt8]) throws(StoreError) -> [Extent] {
        do throws(DecodeError) { return try ExtentRow(decoding: bytes, region: region).extents } catch { throw corrupt(key) }
    }

    static func corrupt(_ key: [UInt8]) -> StoreError {
        let digits = key.prefix(48).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return StoreError(.corrupt, "the row with key \(digits) cannot be read")
    }

    private func value<Value: ByteCodable>(_ key: [UInt8]) throws(StoreError) -> Value? {
        guard let bytes = try reader.get(key) else { return nil }
        return try Self.decode(bytes, key: key)
    }
}
