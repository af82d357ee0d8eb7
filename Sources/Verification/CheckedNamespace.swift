import Bytes
import Digest
import Model
import Namespace
import OrderedStore

/// A copy of the namespace's rows as of one log index, with what a check asks of it.
struct CheckedNamespace {
    /// A file's use of a block.
    struct Use {
        var inode: InodeID
        var offset: UInt64
    }

    let store: MemoryStore
    /// Every block that a file refers to: its length, and the uses, at most `Finding.pathsMax`.
    private(set) var references: [BlockKey: (length: UInt32, uses: [Use])] = [:]
    /// Inodes with extents that cannot be decoded, so that their blocks are not known.
    private(set) var unreadable: Set<InodeID> = []
    /// How many inodes are checked: the selected ones.
    private(set) var inodes: UInt64 = 0

    /// - Parameter selected: only these inodes' blocks; nil for all.
    init(_ store: MemoryStore, selected: Set<InodeID>?) throws(StoreError) {
        self.store = store
        let rows = Rows(store)
        var count: UInt64 = 0
        store.scan(from: Table.inode.prefix, to: Table.inode.end) { _, _ in
            count += 1
            return true
        }
        inodes = selected.map { UInt64($0.count) } ?? count
        var found: [BlockKey: (length: UInt32, uses: [Use])] = [:]
        var damaged: Set<InodeID> = []
        try rows.forEach(from: Table.extents.prefix, to: Table.extents.end) { key, value throws(StoreError) in
            // Table, inode (8 bytes), region (4 bytes), both big-endian.
            guard key.count == 13 else { return true }
            let inode = InodeID(rawValue: key[1..<9].reduce(0) { $0 << 8 | UInt64($1) })
            if let selected, !selected.contains(inode) { return true }
            guard let row = try? ExtentRow(decoding: value, region: key[9..<13].reduce(0) { $0 << 8 | UInt32($1) }) else {
                damaged.insert(inode)
                return true
            }
            for extent in row.extents {
                let use = Use(inode: inode, offset: extent.offset)
                found[extent.key, default: (extent.blockLength, [])].uses.append(use)
                if found[extent.key]?.uses.count ?? 0 > Finding.pathsMax { found[extent.key]?.uses.removeLast() }
            }
            return true
        }
        unreadable = damaged
        references = found
    }

    /// Whether the namespace knows the block in any state, so that a copy of it is no leftover.
    func knows(_ block: BlockKey) -> Bool { store.get(RowKey.reference(block)) != nil }

    /// The paths of inodes, found in one pass over the entries.
    func paths(of inodes: Set<InodeID>) throws(StoreError) -> [InodeID: String] {
        var places: [InodeID: (parent: InodeID, name: Name)] = [:]
        guard !inodes.isEmpty else { return [:] }
        let rows = Rows(store)
        try rows.forEach(from: Table.entry.prefix, to: Table.entry.end) { key, value throws(StoreError) in
            // Table, parent (8 bytes, big-endian), name.
            guard key.count > 9 else { return true }
            let parent = key[1..<9].reduce(0) { $0 << 8 | UInt64($1) }
            guard let record = try? EntryRecord(decoding: value), inodes.contains(record.inode),
                let name = Name(Array(key.dropFirst(9)))
            else { return true }
            places[record.inode] = (InodeID(rawValue: parent), name)
            return true
        }
        var paths: [InodeID: String] = [:]
        for (inode, place) in places {
            guard let directory = try? rows.inode(place.parent), let way = try? rows.path(of: directory) else { continue }
            let names = way.names.reversed().map(\.text) + [place.name.text]
            paths[inode] = "/" + names.joined(separator: "/")
        }
        return paths
    }

    /// The inode at `path` and everything below it.
    func subtree(at path: [Name]) throws(StoreError) -> Set<InodeID>? {
        let rows = Rows(store)
        var inode = InodeID.root
        for name in path {
            guard let entry = try rows.entry(inode, name) else { return nil }
            inode = entry.inode
        }
        var found: Set<InodeID> = [inode]
        var waiting = [inode]
        while let directory = waiting.popLast() {
            let prefix = RowKey.entry(directory, [])
            try rows.forEach(from: prefix, to: Self.successor(of: prefix)) { _, value throws(StoreError) in
                guard let record = try? EntryRecord(decoding: value), found.insert(record.inode).inserted else { return true }
                if record.kind == .directory { waiting.append(record.inode) }
                return true
            }
        }
        return found
    }

    /// The first key after all that begin with `prefix`.
    private static func successor(of prefix: [UInt8]) -> [UInt8]? {
        var key = prefix
        while let last = key.popLast() {
            if last < 0xFF { return key + [last + 1] }
        }
        return nil
    }
}
