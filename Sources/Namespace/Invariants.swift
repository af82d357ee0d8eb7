import Bytes
import Digest
import Model
package import OrderedStore

/// Checks that the rows of a namespace agree with each other.
///
/// Works on any reader: the store itself, a snapshot, or rows copied into a `MemoryStore` elsewhere. Needs memory in proportion to the
/// number of inodes and of blocks (about 200 bytes each).
package struct Invariants {
    /// Findings beyond this are counted only.
    package static let findingsMax = 10_000

    /// What the first pass knows of an inode.
    private struct Seen {
        var record: InodeRecord
        /// Entries that name it.
        var named: UInt64 = 0
        /// One of them.
        var parent = InodeID(rawValue: 0)
        var name: Name?
        /// Of a directory: entries in it, and how many of those are directories.
        var entries: UInt64 = 0
        var directories: UInt64 = 0
        var regions: UInt32 = 0
        var extents: UInt64 = 0
        var allocated: UInt64 = 0
        var end: UInt64 = 0
        var inlineLength: UInt32 = 0
        var xattrs: UInt32 = 0
        var xattrBytes: UInt64 = 0
        /// Of the access control list.
        var permissions: UInt16?
        var symlinkLength: UInt64?
        var isOrphan = false
        var location: Name?
    }

    private struct Block {
        var count: UInt64 = 0
        var length: UInt32
        var inode: InodeID
    }

    private let rows: Rows
    private var inodes: [InodeID: Seen] = [:]
    private var blocks: [BlockKey: Block] = [:]
    private var queued: [BlockKey: (table: Table, time: Timestamp)] = [:]
    private var liveBlocks: UInt64 = 0
    private var liveBytes: UInt64 = 0
    private var findings: [Finding] = []
    private var suppressed = 0

    private init(_ reader: any OrderedReader) { rows = Rows(reader) }

    /// Checks everything. Empty: the namespace is sound.
    /// - Throws: what the reader throws; a row that cannot be decoded is a finding, not an error.
    package static func check(_ reader: any OrderedReader) throws(StoreError) -> [Finding] {
        var check = Invariants(reader)
        try check.run()
        return check.findings
    }

    private mutating func run() throws(StoreError) {
        try readInodes()
        try readEntries()
        try readContent()
        try readOthers()
        checkInodes()
        checkReachability()
        try checkReferences()
        try checkState()
        for place in findings.indices { findings[place].path = findings[place].inode.flatMap(path) }
        if suppressed > 0 { findings.append(Finding(what: "\(suppressed) more findings")) }
    }

    // MARK: Reading

    private mutating func readInodes() throws(StoreError) {
        try each(.inode) { this, fields, key, value in
            guard let id = fields.unsigned64().map({ InodeID(rawValue: $0) }), fields.isAtEnd,
                let record: InodeRecord = this.decoded(value, key)
            else { return this.unreadable(key) }
            guard record.attributes.inode == id else { return this.found(id, "the row is that of inode \(record.attributes.inode)") }
            this.inodes[id] = Seen(record: record)
        }
    }

    private mutating func readEntries() throws(StoreError) {
        try each(.entry) { this, fields, key, value in
            guard let parent = fields.unsigned64().map({ InodeID(rawValue: $0) }), let name = Name(fields.name),
                let entry: EntryRecord = this.decoded(value, key)
            else { return this.unreadable(key) }
            if this.inodes[parent]?.record.attributes.kind == .directory {
                this.inodes[parent]?.entries += 1
                if entry.kind == .directory { this.inodes[parent]?.directories += 1 }
            } else {
                this.found(parent, "has the entry \"\(name.text)\" but is no directory")
            }
            guard let child = this.inodes[entry.inode] else {
                return this.found(parent, "entry \"\(name.text)\" names inode \(entry.inode), which does not exist")
            }
            if child.record.attributes.kind != entry.kind {
                this.found(entry.inode, "is a \(child.record.attributes.kind), but its entry \"\(name.text)\" says \(entry.kind)")
            }
            this.inodes[entry.inode]?.named += 1
            this.inodes[entry.inode]?.parent = parent
            this.inodes[entry.inode]?.name = name
        }
    }

    private mutating func readContent() throws(StoreError) {
        try each(.extents) { this, fields, key, value in
            guard let inode = fields.unsigned64().map({ InodeID(rawValue: $0) }), let region = fields.unsigned32(), fields.isAtEnd,
                let extents = this.extents(value, region, key)
            else { return this.unreadable(key) }
            if this.inodes[inode] == nil { this.found(inode, "has extents but does not exist") }
            if extents.isEmpty { this.found(inode, "has an empty row of extents for region \(region)") }
            this.inodes[inode]?.regions += 1
            this.inodes[inode]?.extents += UInt64(extents.count)
            for extent in extents {
                this.inodes[inode]?.allocated += extent.allocated
                this.inodes[inode]?.end = extent.end
                var block = this.blocks[extent.key] ?? Block(length: extent.blockLength, inode: inode)
                if block.length != extent.blockLength {
                    this.found(inode, "an extent says its block has \(extent.blockLength) bytes, others say \(block.length)", extent.key)
                }
                block.count += 1
                this.blocks[extent.key] = block
            }
        }
        try each(.inline) { this, fields, key, value in
            guard let inode = this.owner(&fields, key, "inline content"), fields.isAtEnd else { return }
            this.inodes[inode]?.inlineLength = UInt32(clamping: value.count)
            this.inodes[inode]?.allocated += allocation(of: UInt64(value.count))
            this.inodes[inode]?.end = UInt64(value.count)
        }
        try each(.symlink) { this, fields, key, value in
            guard let inode = this.owner(&fields, key, "a symlink's target"), fields.isAtEnd else { return }
            this.inodes[inode]?.symlinkLength = UInt64(value.count)
        }
        try each(.xattr) { this, fields, key, value in
            guard let inode = this.owner(&fields, key, "an extended attribute") else { return }
            this.inodes[inode]?.xattrs += 1
            this.inodes[inode]?.xattrBytes += UInt64(fields.name.count + value.count)
            guard AccessControlList.isName(fields.name) else { return }
            guard let list: AccessControlList = this.decoded(value, key) else { return this.unreadable(key) }
            if fields.name == AccessControlList.accessName { this.inodes[inode]?.permissions = list.permissions }
        }
    }

    private mutating func readOthers() throws(StoreError) {
        try each(.orphan) { this, fields, key, value in
            guard let inode = this.owner(&fields, key, "a row of orphans"), fields.isAtEnd else { return }
            guard value == OrphanRow.removed || value == OrphanRow.temporary else { return this.unreadable(key) }
            this.inodes[inode]?.isOrphan = true
        }
        try each(.location) { this, fields, key, value in
            guard let inode = this.owner(&fields, key, "a name in its parent"), fields.isAtEnd else { return }
            guard let name: Name = this.decoded(value, key) else { return this.unreadable(key) }
            this.inodes[inode]?.location = name
        }
        for table in [Table.queue, .tombstone] {
            try each(table) { this, fields, key, _ in
                guard let time = fields.time(), let block = fields.block(), fields.isAtEnd else { return this.unreadable(key) }
                this.enqueue(block, table, time)
            }
        }
        try each(.collecting) { this, fields, key, _ in
            guard let block = fields.block(), fields.isAtEnd else { return this.unreadable(key) }
            this.enqueue(block, .collecting, 0)
        }
    }

    private mutating func enqueue(_ block: BlockKey, _ table: Table, _ time: Timestamp) {
        if queued[block] != nil { found(nil, "is queued twice", block) }
        queued[block] = (table, time)
    }

    // MARK: Checking

    private mutating func checkInodes() {
        for (id, seen) in inodes.sorted(by: { $0.key < $1.key }) {
            let attributes = seen.record.attributes
            expect(id, "size", attributes.kind == .symlink ? seen.symlinkLength ?? 0 : attributes.size, attributes.size)
            if attributes.kind != .file, seen.regions > 0 || seen.inlineLength > 0 { found(id, "has content but is no file") }
            if seen.symlinkLength != nil, attributes.kind != .symlink { found(id, "has a target but is no symlink") }
            if seen.regions > 0, seen.inlineLength > 0 { found(id, "has inline content and extents") }
            if seen.end > attributes.size { found(id, "has content up to \(seen.end), past its size of \(attributes.size)") }
            expect(id, "allocated bytes", seen.allocated, attributes.allocated)
            expect(id, "length of inline content", UInt64(seen.inlineLength), UInt64(seen.record.inlineLength))
            expect(id, "rows of extents", UInt64(seen.regions), UInt64(seen.record.regions))
            expect(id, "extents", seen.extents, seen.record.extents)
            expect(id, "extended attributes", UInt64(seen.xattrs), UInt64(attributes.xattrs))
            expect(id, "bytes of extended attributes", seen.xattrBytes, UInt64(seen.record.xattrBytes))
            if let permissions = seen.permissions { expect(id, "permissions of the access control list", UInt64(permissions), UInt64(attributes.mode & 0o777)) }
            expect(id, "entries", seen.entries, attributes.entries)
            if seen.isOrphan != (attributes.links == 0) {
                found(id, seen.isOrphan ? "is an orphan with \(attributes.links) links" : "has no links but is no orphan")
            }
            if attributes.kind == .directory { checkDirectory(id, seen) } else { expect(id, "links", seen.named, UInt64(attributes.links)) }
        }
        guard let root = inodes[.root]?.record.attributes, root.kind == .directory, root.parent == .root else {
            return found(.root, "there is no root directory")
        }
    }

    private mutating func checkDirectory(_ id: InodeID, _ seen: Seen) {
        let attributes = seen.record.attributes
        if attributes.links == 0 {
            if seen.entries > 0 { found(id, "is removed but has entries") }
            if seen.named > 0 { found(id, "is removed but has a name") }
            return
        }
        expect(id, "links", 2 + seen.directories, UInt64(attributes.links))
        guard id != .root else {
            if seen.named > 0 { found(id, "the root has a name") }
            return
        }
        expect(id, "entries that name it", seen.named, 1)
        if seen.named == 1, seen.parent != attributes.parent {
            found(id, "lies in \(seen.parent) but says its parent is \(attributes.parent)")
        }
        if seen.location != seen.name { found(id, "has a wrong note of its own name") }
    }

    private mutating func checkReachability() {
        var sound: Set<InodeID> = [.root]
        for (id, seen) in inodes.sorted(by: { $0.key < $1.key })
        where seen.record.attributes.kind == .directory && seen.record.attributes.links > 0 {
            var way: Set<InodeID> = []
            var current = id
            while !sound.contains(current), way.insert(current).inserted, let next = inodes[current]?.parent, next.rawValue != 0 {
                current = next
            }
            if sound.contains(current) { sound.formUnion(way) } else { found(id, "the root is not above it") }
        }
    }

    private mutating func checkReferences() throws(StoreError) {
        try each(.reference) { this, fields, key, value in
            guard let block = fields.block(), fields.isAtEnd, let record: ReferenceRecord = this.decoded(value, key) else {
                return this.unreadable(key)
            }
            let counted = this.blocks.removeValue(forKey: block)
            if counted?.count ?? 0 != record.count {
                this.found(counted?.inode, "has \(counted?.count ?? 0) references, the row says \(record.count)", block)
            }
            if let counted, counted.length != record.length {
                this.found(counted.inode, "has \(record.length) bytes, extents say \(counted.length)", block)
            }
            let queue = this.queued.removeValue(forKey: block)
            let table: Table? =
                switch record.state {
                case .live: nil
                case .queued: .queue
                case .collecting: .collecting
                case .deleted: .tombstone
                }
            if queue?.table != table || (queue?.time ?? 0) != record.time { this.found(nil, "is not queued as its row says", block) }
            if (record.count > 0) != (record.state == .live) { this.found(nil, "\(record.state) with \(record.count) references", block) }
            if record.count > 0 {
                this.liveBlocks += 1
                this.liveBytes += UInt64(record.length)
            }
        }
        for (block, missing) in blocks.sorted(by: { $0.key < $1.key }) { found(missing.inode, "refers to a block that has no row", block) }
        for block in queued.keys.sorted() { found(nil, "is queued but has no row", block) }
    }

    private mutating func checkState() throws(StoreError) {
        guard let state = try rows.state() else { return found(nil, "there is no state row") }
        expect(nil, "inodes in all", UInt64(inodes.count), state.inodes)
        expect(nil, "blocks in all", liveBlocks, state.blocks)
        expect(nil, "referenced bytes in all", liveBytes, state.referencedBytes)
        if let last = inodes.keys.max(), last.rawValue >= state.nextInode { found(last, "is at or above the next id, \(state.nextInode)") }
        var sessions: [UInt64: SessionRecord] = [:]
        try each(.session) { this, fields, key, value in
            guard let session = fields.unsigned64(), fields.isAtEnd, let record: SessionRecord = this.decoded(value, key) else {
                return this.unreadable(key)
            }
            sessions[session] = record
        }
        expect(nil, "sessions in all", UInt64(sessions.count), state.sessions)
        try each(.outcome) { this, fields, key, value in
            guard let session = fields.unsigned64(), let sequence = fields.unsigned64(), fields.isAtEnd,
                let _: Outcome = this.decoded(value, key)
            else { return this.unreadable(key) }
            guard let record = sessions[session], sequence >= record.acknowledgedBelow, sequence <= record.highest else {
                return this.found(nil, "the outcome of command \(sequence) of session \(SessionID(rawValue: session)) is kept in vain")
            }
        }
        var records: UInt64 = 0
        try each(.record) { this, _, key, value in
            records += 1
            guard let _: ClusterRecord = this.decoded(value, key) else { return this.unreadable(key) }
        }
        expect(nil, "cluster records in all", records, state.records)
    }

    // MARK: Parts

    /// Visits the rows of a table; the fields begin behind the table's byte.
    private mutating func each(
        _ table: Table, _ visit: (_ this: inout Invariants, _ fields: inout KeyFields, _ key: [UInt8], _ value: [UInt8]) -> Void
    ) throws(StoreError) {
        let rows = rows
        try rows.forEach(from: table.prefix, to: table.end) { key, value in
            var fields = KeyFields(key)
            visit(&self, &fields, key, value)
            return true
        }
    }

    private func decoded<Value: ByteCodable>(_ value: [UInt8], _ key: [UInt8]) -> Value? {
        do throws(StoreError) { return try Rows.decode(value, key: key) } catch { return nil }
    }

    private func extents(_ value: [UInt8], _ region: UInt32, _ key: [UInt8]) -> [Extent]? {
        do throws(StoreError) { return try Rows.extents(value, region: region, key: key) } catch { return nil }
    }

    /// The inode whose row `what` is; a finding where it does not exist.
    private mutating func owner(_ fields: inout KeyFields, _ key: [UInt8], _ what: String) -> InodeID? {
        guard let inode = fields.unsigned64().map({ InodeID(rawValue: $0) }) else {
            unreadable(key)
            return nil
        }
        guard inodes[inode] != nil else {
            found(inode, "has \(what) but does not exist")
            return nil
        }
        return inode
    }

    private mutating func expect(_ inode: InodeID?, _ what: String, _ counted: UInt64, _ stated: UInt64) {
        if counted != stated { found(inode, "\(what): \(counted), but the row says \(stated)") }
    }

    private mutating func unreadable(_ key: [UInt8]) { found(nil, Rows.corrupt(key).cause) }

    private mutating func found(_ inode: InodeID?, _ what: String, _ block: BlockKey? = nil) {
        guard findings.count < Self.findingsMax else {
            suppressed += 1
            return
        }
        findings.append(Finding(inode: inode, block: block, what: what))
    }

    /// One way from the root to an inode.
    private func path(of inode: InodeID) -> String? {
        guard inode != .root else { return "/" }
        var names: [String] = []
        var current = inode
        // As in `Rows.path`: a way that goes round ends when it has gone as far as it had come.
        var passed = current
        while current != .root {
            if names.count.nonzeroBitCount == 1 { passed = current }
            guard names.count < Limits.pathDepth, let seen = inodes[current], let name = seen.name else { return nil }
            names.append(name.text)
            current = seen.parent
            if current == passed { return nil }
        }
        return "/" + names.reversed().joined(separator: "/")
    }
}
