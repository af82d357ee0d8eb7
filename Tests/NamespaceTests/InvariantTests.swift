import Bytes
import Digest
import Model
import Namespace
import OrderedStore
import Testing

/// What the checker must find: each case damages one row of a sound namespace.
@Suite struct InvariantTests {
    private func sample() throws -> (tree: Tree, directory: InodeID, file: InodeID) {
        let tree = try Tree()
        let directory = try tree.directory("d")
        try tree.directory("e", in: directory)
        let file = try tree.create("f", in: directory)
        try tree.edit(file, [extent(0, 100, 1), extent(Limits.regionBytes, 100, 2)])
        try tree.edit(try tree.create("g"), [extent(0, 100, 1)])
        try tree.create("s", .symlink, target: "t")
        try tree.run(.setXattr(inode: file, name: [65], value: [1], mode: .any, dropsSetGID: false))
        try tree.create("o")
        try tree.unlink("o", keep: true)
        try tree.expectSound()
        return (tree, directory, file)
    }

    private func damage(_ tree: Tree, _ change: (inout WriteBatch) throws -> Void) throws -> [Finding] {
        var batch = WriteBatch()
        try change(&batch)
        try tree.store.write(batch)
        return try Invariants.check(tree.store)
    }

    private func change(_ tree: Tree, _ inode: InodeID, _ body: (inout InodeRecord) -> Void) throws -> [Finding] {
        var record = try #require(try Rows(tree.store).inode(inode))
        body(&record)
        return try damage(tree) { $0.put(RowKey.inode(inode), record.encoded) }
    }

    @Test func findsWrongCounts() throws {
        let bodies: [(inout InodeRecord) -> Void] = [
            { $0.attributes.links += 1 }, { $0.attributes.size = 10 }, { $0.attributes.allocated += 512 }, { $0.regions += 1 },
            { $0.extents -= 1 }, { $0.attributes.xattrs = 0 }, { $0.xattrBytes += 1 }, { $0.inlineLength = 4 }, { $0.attributes.links = 0 },
            { $0.attributes.kind = .fifo }, { $0.attributes.inode = .root },
        ]
        for body in bodies {
            let (tree, _, file) = try sample()
            let findings = try change(tree, file, body)
            #expect(findings.contains { $0.inode == file && ($0.path == "/d/f" || $0.path == nil) }, "\(findings)")
        }
    }

    @Test func findsAModeThatIsNotTheLists() throws {
        let (tree, directory, _) = try sample()
        try tree.run(.setXattr(inode: directory, name: AccessControlList.accessName, value: sampleList, mode: .any, dropsSetGID: false))
        try tree.expectSound()
        let findings = try change(tree, directory) { $0.attributes.mode = 0o700 }
        #expect(findings.contains { $0.inode == directory && "\($0)".contains("access control list") }, "\(findings)")
        let key = RowKey.xattr(directory, AccessControlList.accessName)
        #expect(try !damage(tree) { $0.put(key, [2, 0, 0, 0]) }.isEmpty)
    }

    @Test func findsWrongDirectories() throws {
        let bodies: [(inout InodeRecord) -> Void] = [
            { $0.attributes.links += 1 }, { $0.attributes.entries += 1 }, { $0.attributes.parent = InodeID(rawValue: 3) },
            { $0.attributes.links = 0 },
        ]
        for body in bodies {
            let (tree, directory, _) = try sample()
            let findings = try change(tree, directory, body)
            #expect(findings.contains { $0.inode == directory && $0.path == "/d" }, "\(findings)")
        }
    }

    @Test func findsMissingRows() throws {
        let (tree, directory, file) = try sample()
        let rows = try Rows(tree.store).pairs(from: [], to: nil)
        #expect(rows.count > 20)
        // Whatever row is taken away, something does not add up.
        for row in rows {
            var batch = WriteBatch()
            batch.delete(row.key)
            try tree.store.write(batch)
            #expect(try !Invariants.check(tree.store).isEmpty, "without \(row.key)")
            batch = WriteBatch()
            batch.put(row.key, row.value)
            try tree.store.write(batch)
            // So does a row that cannot be read, unless any bytes are good.
            let free: [Table] = [.inline, .symlink, .xattr, .orphan]
            guard !free.contains(where: { $0.rawValue == row.key[0] }) else { continue }
            batch.put(row.key, row.value + [1])
            try tree.store.write(batch)
            let expected = ![Table.queue, .collecting, .tombstone].contains { $0.rawValue == row.key[0] }
            if row.key[0] == Table.state.rawValue {
                #expect(throws: StoreError.self) { try Invariants.check(tree.store) }
            } else {
                #expect(try Invariants.check(tree.store).isEmpty != expected, "with damaged \(row.key)")
            }
            batch = WriteBatch()
            batch.put(row.key, row.value)
            try tree.store.write(batch)
        }
        #expect(try Invariants.check(tree.store).isEmpty)
        #expect(directory != file)
    }

    @Test func findsCyclesAndStrayBlocks() throws {
        let (tree, directory, _) = try sample()
        // "d" moves into its own "e".
        let below = try #require(try tree.lookup("e", in: directory)).inode
        let name = try "d".asName
        let entry = try #require(try tree.store.get(RowKey.entry(.root, name.bytes)))
        let findings = try damage(tree) { batch in
            batch.delete(RowKey.entry(.root, name.bytes))
            batch.put(RowKey.entry(below, name.bytes), entry)
        }
        #expect(findings.contains { $0.inode == directory && $0.what.contains("root") && $0.path == nil })

        let (other, _, _) = try sample()
        let stray = try damage(other) { batch in
            batch.put(RowKey.reference(key(50)), [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0] + [UInt8](repeating: 0, count: 16))
        }
        #expect(stray.contains { $0.block == key(50) })
    }

    @Test func walksReferences() throws {
        let (tree, _, file) = try sample()
        var found: [BlockKey: Int] = [:]
        var offsets: [UInt64] = []
        try Rows(tree.store).forEachReference { inode, extent in
            found[extent.key, default: 0] += 1
            if inode == file { offsets.append(extent.offset) }
            return true
        }
        #expect(found == [key(1): 2, key(2): 1])
        #expect(offsets == [0, Limits.regionBytes])
    }
}
