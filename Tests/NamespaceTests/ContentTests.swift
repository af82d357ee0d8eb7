import Digest
import Model
import Namespace
import OrderedStore
import Testing

@Suite struct ContentTests {
    @Test func inlineContent() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        #expect(try tree.edit(file, [.inline([1, 2, 3])]).attributes?.size == 3)
        #expect(try tree.attributes(file).allocated == 512)
        #expect(try tree.inline(file) == [1, 2, 3])
        #expect(try tree.edit(file, [.truncate(1000)]).attributes?.size == 1000)
        #expect(try tree.inline(file) == [1, 2, 3])
        #expect(try tree.edit(file, [.hole(offset: 1, length: 1)]).error == nil)
        #expect(try tree.inline(file) == [1, 0, 3])
        #expect(try tree.edit(file, [extent(0, 10, 1)]).error == .inlineContent)
        try tree.expectSound()
        #expect(try tree.edit(file, [.truncate(2)]).attributes?.allocated == 512)
        #expect(try tree.inline(file) == [1, 0])
        #expect(try tree.edit(file, [.truncate(0), extent(0, 10, 1)]).attributes?.size == 10)
        #expect(try tree.extents(file).count == 1)
        try tree.expectSound()
        #expect(try tree.edit(file, [.inline([9])]).attributes?.size == 1)
        #expect(try tree.reference(key(1))?.state == .queued)
        #expect(try tree.edit(file, [.inline([UInt8](repeating: 1, count: 4097))]).error == .invalid)
        #expect(try tree.edit(file, [.inline([])]).attributes?.allocated == 0)
        #expect(try tree.extents(file).isEmpty)
        try tree.expectSound()
    }

    @Test func extentsAreCutAndSplit() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        try tree.edit(file, [extent(0, 3000, 1)])
        try tree.edit(file, [extent(1000, 1000, 2)])
        #expect(
            try tree.extents(file) == [
                Extent(offset: 0, length: 1000, key: key(1), blockLength: 3000, blockOffset: 0),
                Extent(offset: 1000, length: 1000, key: key(2), blockLength: 1000, blockOffset: 0),
                Extent(offset: 2000, length: 1000, key: key(1), blockLength: 3000, blockOffset: 2000),
            ])
        #expect(try tree.reference(key(1))?.count == 2)
        #expect(try tree.attributes(file).allocated == 3 * 1024)
        try tree.edit(file, [.hole(offset: 500, length: 2000)])
        #expect(try tree.extents(file).map(\.offset) == [0, 2500])
        #expect(try tree.attributes(file).size == 3000)
        #expect(try tree.reference(key(2))?.state == .queued)
        try tree.edit(file, [.truncate(2600)])
        #expect(try tree.extents(file).map(\.end) == [500, 2600])
        #expect(try tree.extents(file, offset: 500, length: 2000).isEmpty)
        try tree.edit(file, [.truncate(100)])
        #expect(try tree.reference(key(1))?.count == 1)
        try tree.expectSound()
    }

    @Test func refusals() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        let directory = try tree.directory("d")
        let symlink = try tree.create("s", .symlink, target: "x")
        func edit(_ edit: Edit, _ inode: InodeID? = nil) throws -> NamespaceError? { try tree.edit(inode ?? file, [edit]).error }
        func extent(_ offset: UInt64, _ length: UInt32, _ blockLength: UInt32, _ blockOffset: UInt32) -> Edit {
            .extent(Extent(offset: offset, length: length, key: key(9), blockLength: blockLength, blockOffset: blockOffset))
        }
        #expect(try edit(extent(0, 0, 10, 0)) == .invalid)
        #expect(try edit(extent(0, 10, 9, 0)) == .invalid)
        #expect(try edit(extent(0, 10, 10, 1)) == .invalid)
        #expect(try edit(extent(0, .max, .max, .max)) == .invalid)
        #expect(try edit(extent(0, 10, UInt32(Limits.blockBytes) + 1, 0)) == .invalid)
        #expect(try edit(extent(Limits.regionBytes - 5, 10, 10, 0)) == .invalid)
        #expect(try edit(extent(.max - 5, 10, 10, 0)) == .invalid)
        #expect(try edit(extent(Limits.fileBytes - 5, 10, 10, 0)) == .fileTooLarge)
        #expect(try edit(.truncate(Limits.fileBytes + 1)) == .fileTooLarge)
        #expect(try edit(.truncate(Limits.fileBytes)) == nil)
        #expect(try edit(.hole(offset: 5, length: 0)) == .invalid)
        #expect(try edit(.hole(offset: 5, length: .max)) == .invalid)
        #expect(try edit(.hole(offset: .max - 1, length: 1)) == nil)
        #expect(try edit(.truncate(0), directory) == .isDirectory)
        #expect(try edit(.truncate(0), symlink) == .invalid)
        #expect(try edit(.truncate(0), InodeID(rawValue: 99)) == .stale)
        #expect(try tree.edit(file, [Edit](repeating: .truncate(0), count: 4097)).error == .invalid)
        // One bad edit undoes the good ones before it.
        let before = try tree.attributes(file)
        #expect(try tree.edit(file, [.truncate(5), extent(0, 10, 10, 0), extent(0, 0, 10, 0)]).error == .invalid)
        #expect(try tree.attributes(file) == before)
        // A block has one length.
        #expect(try tree.edit(file, [extent(0, 10, 10, 0), extent(100, 10, 11, 0)]).error == .invalid)
        #expect(try edit(extent(0, 10, 10, 0)) == nil)
        #expect(try edit(extent(100, 10, 11, 0)) == .invalid)
        try tree.expectSound()
    }

    @Test func attributesChange() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        let before = try tree.attributes(file)
        let change = AttributeChange(mode: 0o4700, uid: 1, gid: 2, accessed: -5, modified: 6, changed: 1_500)
        let after = try #require(try tree.run(.update(inode: file, attributes: change, edits: [], republished: [])).attributes)
        #expect(after.mode == 0o4700 && after.uid == 1 && after.gid == 2)
        #expect(after.accessed == -5 && after.modified == 6 && after.changed == 1_500)
        #expect(after.version == before.version + 1)
        let touched = try #require(try tree.edit(file, [.truncate(1)]).attributes)
        #expect(touched.modified == 6 && touched.changed == tree.time)
        // A client kept it back while the inode was linked elsewhere; the time of change does not go back, unless it was never right.
        func changed(at time: Timestamp) throws -> Timestamp? {
            try tree.run(.update(inode: file, attributes: AttributeChange(changed: time), edits: [], republished: [])).attributes?.changed
        }
        #expect(try changed(at: touched.changed - 1) == touched.changed)
        #expect(try changed(at: 9_000) == 9_000)
        #expect(try changed(at: 2_000) == 2_000)
        #expect(try changed(at: 5) == tree.time)
        let wrong = AttributeChange(mode: 0o17777)
        #expect(try tree.run(.update(inode: file, attributes: wrong, edits: [], republished: [])).error == .invalid)
    }

    @Test func blocksAreCollectedAndRefused() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        let other = try tree.create("g")
        let delay: Timestamp = 600_000_000_000
        try tree.edit(file, [extent(0, 10, 1)])
        #expect(try tree.namespace.answer(.statistics) == .statistics(inodes: 3, referencedBytes: 10, blocks: 1))
        try tree.edit(file, [.truncate(0)])
        let freed = tree.time
        #expect(try tree.namespace.answer(.statistics) == .statistics(inodes: 3, referencedBytes: 0, blocks: 0))
        #expect(try tree.namespace.dueForCollection(before: freed + delay - 1, limit: 10).isEmpty)
        #expect(try tree.namespace.dueForCollection(before: freed + delay, limit: 10) == [key(1)])
        // Not due yet: passed over.
        try tree.run(.collect([key(1)]))
        #expect(try tree.reference(key(1))?.state == .queued)
        // A new reference takes it out of the queue.
        try tree.edit(other, [extent(0, 10, 1)])
        #expect(try tree.namespace.dueForCollection(before: .max, limit: 10).isEmpty)
        try tree.expectSound()
        try tree.unlink("g")
        tree.time += delay
        try tree.run(.collect([key(1), key(2)]))
        #expect(try tree.namespace.collecting(limit: 10) == [key(1)])
        #expect(try tree.edit(file, [extent(0, 10, 1), extent(50, 10, 3)]).error == .collected([key(1)]))
        #expect(try tree.edit(file, [extent(0, 10, 1)], republished: [key(1)]).error == .collected([key(1)]))
        #expect(try tree.reference(key(3)) == nil)
        try tree.expectSound()
        try tree.run(.collected([key(1), key(3)]))
        #expect(try tree.namespace.collecting(limit: 10).isEmpty)
        #expect(try tree.edit(file, [extent(0, 10, 1)]).error == .collected([key(1)]))
        try tree.expectSound()
        #expect(try tree.edit(file, [extent(0, 10, 1)], republished: [key(1)]).error == nil)
        #expect(try tree.reference(key(1))?.state == .live)
        try tree.expectSound()
    }

    /// What a session has shown as the times of a change says nothing about when blocks may go: that goes by the leader's clock.
    @Test func shownTimesAreNotDueTimes() throws {
        let tree = try Tree()
        let directory = try tree.create("d", .directory)
        let files = try ["f", "g"].map { try tree.create($0, in: directory) }
        try tree.edit(files[0], [extent(0, 10, 1)])
        let delay: Timestamp = 600_000_000_000
        for (command, shown) in [
            (Command.rename(from: directory, name: try "f".asName, to: directory, newName: try "h".asName, mode: .replace, keep: false), Timestamp(5)),
            (.unlink(parent: directory, name: try "h".asName, keep: false), 6), (.unlink(parent: directory, name: try "g".asName, keep: true), 7),
        ] {
            let outcome = try tree.run([Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: 1_000_000, shown: shown, command: command)])[0]
            #expect(outcome.error == nil && outcome.attributes?.changed == shown)
            let parent = try tree.attributes(directory)
            #expect(parent.modified == shown && parent.changed == shown)
        }
        #expect(try tree.namespace.dueForCollection(before: 1_000_000 + delay - 1, limit: 10).isEmpty)
        #expect(try tree.namespace.dueForCollection(before: 1_000_000 + delay, limit: 10) == [key(1)])
        try tree.expectSound()
    }

    @Test func tombstonesExpire() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        #expect(try tree.run(.setRecord(key: Namespace.collectionDelayRecord, expectedVersion: 0, value: Array("0".utf8))).error == nil)
        try tree.edit(file, [extent(0, 10, 1), .truncate(0), extent(0, 10, 2)])
        #expect(try tree.reference(key(1)) == nil)
        try tree.edit(file, [.truncate(0)])
        try tree.run(.collect([key(2)]))
        try tree.run(.collected([key(2)]))
        #expect(try tree.reference(key(2))?.state == .deleted)
        try tree.run(.collected([]))
        #expect(try tree.reference(key(2))?.state == .deleted)
        tree.time += 3_600_000_000_000
        try tree.run(.collected([]))
        #expect(try tree.reference(key(2)) == nil)
        try tree.expectSound()
    }

    /// Files as arrays of (block, place in it) per sector against the extents; sectors keep the model small.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func randomEditsAgainstAModel(seed: UInt64) throws {
        struct Cell: Equatable {
            var key: BlockKey
            var place: UInt32
        }
        let sector: UInt64 = 512
        // The file lies across a region border.
        let base = Limits.regionBytes - 64 * sector
        var generator = SeededGenerator(seed: seed)
        let tree = try Tree()
        let file = try tree.create("f")
        var cells = [Cell?](repeating: nil, count: 128)
        var size = 0
        for step in 0..<400 {
            var edits: [Edit] = []
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                switch Int.random(in: 0..<10, using: &generator) {
                case 0:
                    size = Int.random(in: 0...128, using: &generator)
                    for place in size..<128 { cells[place] = nil }
                    // The model's places count from `base`; size 0 is a truncation to it.
                    edits.append(.truncate(base + UInt64(size) * sector))
                case 1, 2:
                    let lower = Int.random(in: 0..<128, using: &generator)
                    let count = Int.random(in: 1...64, using: &generator)
                    for place in lower..<min(lower + count, 128) { cells[place] = nil }
                    edits.append(.hole(offset: base + UInt64(lower) * sector, length: UInt64(count) * sector))
                default:
                    let number = UInt64.random(in: 0..<12, using: &generator)
                    let blockSectors = Int(number) * 2 + 1
                    let skip = Int.random(in: 0..<blockSectors, using: &generator)
                    let lower = Int.random(in: 0..<128, using: &generator)
                    let room = lower < 64 ? 64 - lower : 128 - lower
                    let count = min(Int.random(in: 1...blockSectors - skip, using: &generator), room)
                    for place in 0..<count { cells[lower + place] = Cell(key: key(number), place: UInt32(skip + place)) }
                    size = max(size, lower + count)
                    edits.append(
                        .extent(
                            Extent(
                                offset: base + UInt64(lower) * sector, length: UInt32(count) * 512, key: key(number),
                                blockLength: UInt32(blockSectors) * 512, blockOffset: UInt32(skip) * 512)))
                }
            }
            let outcome = try tree.edit(file, edits)
            #expect(outcome.error == nil)
            #expect(size == 0 || outcome.attributes?.size == base + UInt64(size) * sector)
            var found = [Cell?](repeating: nil, count: 128)
            for extent in try tree.extents(file) {
                for place in 0..<Int(extent.length / 512) {
                    let cell = Cell(key: extent.key, place: extent.blockOffset / 512 + UInt32(place))
                    found[Int((extent.offset - base) / sector) + place] = cell
                }
            }
            #expect(found == cells, "step \(step)")
            if step % 20 == 0 { try tree.expectSound() }
        }
        try tree.expectSound()
        try tree.unlink("f")
        #expect(tree.namespace.statistics.blocks == 0)
        try tree.expectSound()
    }

    @Test func extendedAttributes() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        let name = Array("user.a".utf8)
        func set(_ name: [UInt8], _ value: [UInt8], _ mode: XattrMode = .any) throws -> NamespaceError? {
            try tree.run(.setXattr(inode: file, name: name, value: value, mode: mode, dropsSetGID: false)).error
        }
        #expect(try set(name, [1], .replace) == .noAttribute)
        #expect(try set(name, [1], .create) == nil)
        #expect(try set(name, [2], .create) == .exists)
        #expect(try set(name, [], .replace) == nil)
        #expect(try tree.namespace.answer(.xattr(file, name: name)) == .bytes([]))
        #expect(try tree.namespace.answer(.xattr(file, name: [65])) == .failed(.noAttribute))
        #expect(try set([], [1]) == .invalid)
        #expect(try set([65, 0], [1]) == .invalid)
        #expect(try set([UInt8](repeating: 65, count: 256), [1]) == .nameTooLong)
        let large = [UInt8](repeating: 7, count: 65_536)
        #expect(try set([66], large + [0]) == .attributeTooLarge)
        #expect(try set([66], large) == nil)
        #expect(try set([67], large) == .noSpaceForAttribute)
        #expect(try set([66], large) == nil)
        #expect(try tree.namespace.answer(.xattrNames(file)) == .names([[66], name]))
        try tree.expectSound()
        #expect(try tree.run(.removeXattr(inode: file, name: [66])).error == nil)
        #expect(try tree.run(.removeXattr(inode: file, name: [66])).error == .noAttribute)
        try tree.expectSound()
        try tree.unlink("f")
        try tree.expectSound()
    }

    @Test func lookupBringsSmallContent() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        func content() throws -> Content? {
            guard case .found(_, let content) = try tree.namespace.answer(.lookup(parent: .root, name: try "f".asName)) else {
                throw Unexpected()
            }
            return content
        }
        #expect(try content() == .extents([]))
        try tree.edit(file, [.inline([5])])
        #expect(try content() == .inline([5]))
        try tree.edit(file, [.truncate(0)] + (0..<16).map { extent($0 * 100, 50, $0) })
        guard case .extents(let extents) = try content() else { throw Unexpected() }
        #expect(extents.count == 16)
        try tree.edit(file, [extent(2000, 50, 17)])
        #expect(try content() == nil)
        let symlink = try tree.create("s", .symlink, target: "target")
        #expect(try tree.namespace.answer(.symlink(symlink)) == .bytes(Array("target".utf8)))
        #expect(try tree.namespace.answer(.symlink(file)) == .failed(.invalid))
    }
}
