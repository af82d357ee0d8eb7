import Model
import Namespace
import OrderedStore
import Testing

/// The rules of the manual pages named, on one small tree each.
@Suite struct EntryTests {
    @Test func createTellsWhatItMade() throws {
        let tree = try Tree()
        let outcome = try tree.run(
            .create(
                parent: .root, name: try "f".asName, kind: .file, mode: 0o4755, umask: 0, uid: 7, gid: 8, device: 9, target: []))
        guard case .done(let file?, let parents) = outcome else { throw Unexpected(outcome: outcome) }
        #expect(file.mode == 0o4755 && file.uid == 7 && file.gid == 8 && file.links == 1 && file.size == 0 && file.device == 0)
        #expect(file.created == tree.time && file.modified == tree.time && file.changed == tree.time && file.accessed == tree.time)
        #expect(parents.count == 1 && parents[0].inode == .root && parents[0].entries == 1 && parents[0].links == 2)
        #expect(parents[0].modified == tree.time && parents[0].changed == tree.time && parents[0].version == 2)
        #expect(try tree.lookup("f") == file)
        try tree.expectSound()
    }

    @Test func createRefuses() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        let name = try "x".asName
        func create(
            _ parent: InodeID, _ name: Name, _ kind: FileKind = .file, mode: UInt16 = 0o644, target: [UInt8] = []
        ) throws -> NamespaceError? {
            try tree.run(.create(parent: parent, name: name, kind: kind, mode: mode, umask: 0, uid: 0, gid: 0, device: 0, target: target)).error
        }
        let before = try dump(tree.store)
        #expect(try create(.root, try "f".asName) == .exists)
        #expect(try create(file, name) == .notDirectory)
        #expect(try create(InodeID(rawValue: 99), name) == .stale)
        #expect(try create(.root, name, mode: 0o10000) == .invalid)
        #expect(try create(.root, name, .symlink) == .invalid)
        #expect(try create(.root, name, .symlink, target: [UInt8](repeating: 65, count: 4096)) == .nameTooLong)
        #expect(try create(.root, name, .symlink, target: [65, 0]) == .invalid)
        #expect(try create(.root, name, .file, target: [65]) == .invalid)
        // Nothing but the state row (applied index and digest) changed.
        #expect(try dump(tree.store).dropFirst(2) == before.dropFirst(2))
        try tree.expectSound()
    }

    /// inode(7), "The set-group-ID bit": a new file takes the directory's group, a new directory also the bit.
    @Test func setGroupIDIsInherited() throws {
        let tree = try Tree()
        let shared = try tree.directory("shared", mode: 0o2775)
        let file = try tree.attributes(try tree.create("f", in: shared, gid: 99))
        let directory = try tree.attributes(try tree.create("d", in: shared, .directory, mode: 0o755, gid: 99))
        #expect(file.gid == 20 && file.mode == 0o644)
        #expect(directory.gid == 20 && directory.mode == 0o2755)
    }

    @Test func directoryLinksCountSubdirectories() throws {
        let tree = try Tree()
        let directory = try tree.directory("d")
        try tree.directory("a", in: directory)
        try tree.directory("b", in: directory)
        try tree.create("f", in: directory)
        #expect(try tree.attributes(directory).links == 4)
        #expect(try tree.attributes(directory).entries == 3)
        #expect(try tree.attributes(.root).links == 3)
        #expect(try tree.removeDirectory("d").error == .notEmpty)
        try tree.removeDirectory("a", in: directory)
        #expect(try tree.attributes(directory).links == 3)
        try tree.expectSound()
    }

    /// link(2): EPERM for directories, EEXIST, ENOENT for an inode without links, EMLINK.
    @Test func link() throws {
        let tree = try Tree()
        let directory = try tree.directory("d")
        let file = try tree.create("f")
        let made = tree.time
        #expect(try tree.link(file, "g", in: directory).attributes?.links == 2)
        let after = try tree.attributes(file)
        #expect(after.changed == tree.time && after.modified == made && after.version == 2)
        #expect(try tree.attributes(directory).modified == tree.time)
        #expect(try tree.link(directory, "h").error == .notPermitted)
        #expect(try tree.link(file, "g", in: directory).error == .exists)
        #expect(try tree.link(InodeID(rawValue: 99), "h").error == .stale)
        #expect(try tree.link(file, "h", in: file).error == .notDirectory)
        try tree.unlink("f")
        try tree.unlink("g", in: directory, keep: true)
        #expect(try tree.link(file, "h").error == .notFound)
        try tree.expectSound()
    }

    @Test func linkLimit() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        let name = try "l".asName
        var proposals: [Proposal] = []
        for number in 1..<Int(Limits.links) {
            let name = try #require(Name("l\(number)"))
            proposals.append(
                Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: 1, command: .link(inode: file, parent: .root, name: name)))
        }
        #expect(try tree.run(proposals).allSatisfy { $0.error == nil })
        #expect(try tree.attributes(file).links == Limits.links)
        #expect(try tree.run(.link(inode: file, parent: .root, name: name)).error == .tooManyLinks)
        try tree.expectSound()
    }

    @Test func unlinkTakesTheLastLinkLast() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        try tree.link(file, "g")
        let first = try tree.unlink("f")
        guard case .done(let left?, let parents) = first else { throw Unexpected(outcome: first) }
        #expect(left.links == 1 && left.changed == tree.time && parents[0].entries == 1)
        let second = try tree.unlink("g")
        guard case .removed(let gone, let orphaned, _) = second else { throw Unexpected(outcome: second) }
        #expect(gone.links == 0 && !orphaned)
        #expect(try tree.namespace.answer(.attributes(file)) == .failed(.stale))
        #expect(try tree.unlink("g").error == .notFound)
        #expect(try tree.removeDirectory("g").error == .notFound)
        #expect(tree.namespace.statistics.inodes == 1)
        try tree.expectSound()
    }

    @Test func unlinkAndRemoveDirectoryKeepToTheirKinds() throws {
        let tree = try Tree()
        try tree.directory("d")
        try tree.create("f")
        try tree.create("s", .symlink, target: "d")
        #expect(try tree.unlink("d").error == .isDirectory)
        #expect(try tree.removeDirectory("f").error == .notDirectory)
        #expect(try tree.removeDirectory("s").error == .notDirectory)
        #expect(try tree.unlink("s").error == nil)
        #expect(try tree.removeDirectory("d").error == nil)
        try tree.expectSound()
    }

    /// An open file that is unlinked stays usable until it is reaped.
    @Test func orphansLiveUntilReaped() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        try tree.edit(file, [extent(0, 1000, 1)])
        let outcome = try tree.unlink("f", keep: true)
        guard case .removed(let gone, let orphaned, _) = outcome else { throw Unexpected(outcome: outcome) }
        #expect(orphaned && gone.links == 0)
        #expect(try tree.namespace.orphans(limit: 10) == [file])
        try tree.expectSound()
        #expect(try tree.edit(file, [extent(5000, 1000, 2)]).attributes?.size == 6000)
        #expect(try tree.extents(file).count == 2)
        try tree.expectSound()
        // Ids that are no orphans are passed over.
        let other = try tree.create("g")
        #expect(try tree.run(.reap([other, file, InodeID(rawValue: 77)])).error == nil)
        #expect(try tree.namespace.orphans(limit: 10).isEmpty)
        #expect(try tree.namespace.answer(.attributes(file)) == .failed(.stale))
        #expect(try tree.reference(key(1))?.state == .queued && tree.reference(key(2))?.count == 0)
        try tree.expectSound()
    }

    @Test func temporaryFilesGetANameOrGo() throws {
        let tree = try Tree()
        let directory = try tree.directory("d")
        try tree.run(.update(inode: directory, attributes: AttributeChange(mode: 0o2777, gid: 7), edits: [], republished: []))
        let before = try tree.attributes(directory)
        func make() throws -> Attributes {
            let outcome = try tree.run(.createTemporary(parent: directory, mode: 0o666, umask: 0o022, uid: 1, gid: 2))
            guard case .done(let made?, let parents) = outcome, parents.isEmpty else { throw Unexpected(outcome: outcome) }
            #expect(made.kind == .file && made.links == 0 && made.mode == 0o644 && made.uid == 1 && made.gid == 7)
            #expect(try tree.edit(made.inode, [extent(0, 1000, 3)]).error == nil)
            return made
        }
        let (named, unnamed) = (try make().inode, try make().inode)
        #expect(try tree.attributes(directory) == before)
        #expect(try tree.namespace.orphans(limit: 10) == [named, unnamed])
        try tree.expectSound()
        #expect(try tree.link(named, "f", in: directory).attributes?.links == 1)
        #expect(try tree.namespace.orphans(limit: 10) == [unnamed])
        // From now on it is a file like any other.
        #expect(try tree.link(named, "g").attributes?.links == 2)
        try tree.unlink("g")
        try tree.unlink("f", in: directory, keep: true)
        #expect(try tree.link(named, "h").error == .notFound)
        try tree.expectSound()
        try tree.run(.reap([named, unnamed]))
        #expect(tree.namespace.statistics.blocks == 0)
        #expect(try tree.run(.createTemporary(parent: named, mode: 0o600, umask: 0, uid: 0, gid: 0)).error == .stale)
        #expect(try tree.run(.createTemporary(parent: try tree.create("h"), mode: 0o600, umask: 0, uid: 0, gid: 0)).error == .notDirectory)
        #expect(try tree.run(.createTemporary(parent: .root, mode: 0o10000, umask: 0, uid: 0, gid: 0)).error == .invalid)
        try tree.expectSound()
    }

    /// What the freeing of an open file has begun with is lost; no name may lead to the rest.
    @Test func temporaryFileThatIsPartlyFreedGetsNoName() throws {
        let tree = try Tree()
        let file = try #require(try tree.run(.createTemporary(parent: .root, mode: 0o600, umask: 0, uid: 1, gid: 2)).attributes?.inode)
        try fill(tree, file)
        try tree.run(.reap([file]))
        #expect(try tree.namespace.orphans(limit: 10) == [file])
        #expect(try tree.link(file, "f").error == .notFound)
        try tree.expectSound()
        try tree.run(.reap([file]))
        #expect(try tree.namespace.orphans(limit: 10).isEmpty)
    }

    @Test func removedDirectoryThatIsOpenTakesNoEntries() throws {
        let tree = try Tree()
        let directory = try tree.directory("d")
        let other = try tree.directory("other")
        let file = try tree.create("f")
        let outcome = try tree.removeDirectory("d", keep: true)
        guard case .removed(_, true, _) = outcome else { throw Unexpected(outcome: outcome) }
        #expect(try tree.attributes(.root).links == 3)
        #expect(try tree.link(file, "x", in: directory).error == .notFound)
        #expect(try tree.rename("f", to: "x", under: directory).error == .notFound)
        #expect(try tree.rename("other", to: "x", under: directory).error == .notFound)
        let list = Query.list(directory: directory, after: nil, limit: 10, detail: .attributes)
        #expect(try tree.namespace.answer(list) == .entries([], complete: true))
        guard case .path(let way, let names) = try tree.namespace.answer(.path(directory)) else { throw Unexpected() }
        #expect(way.map(\.inode) == [directory] && names.isEmpty)
        try tree.expectSound()
        try tree.run(.reap([directory]))
        try tree.expectSound()
        #expect(try tree.attributes(other).links == 2)
    }

    /// 10 regions with 8192 extents each: 81920 of the 65536 that one command frees.
    private func fill(_ tree: Tree, _ file: InodeID) throws {
        for region in 0..<10 as Range<UInt64> {
            for half in 0..<2 as Range<UInt64> {
                let start = region * Limits.regionBytes + half * 4096 * 1024
                let edits = (0..<4096 as Range<UInt64>).map { extent(start + $0 * 1024, 1024, $0 % 64) }
                #expect(try tree.edit(file, edits).error == nil)
            }
        }
    }

    /// More extents than one command frees: the rest waits as an orphan, also without `keep`.
    @Test func largeFilesAreFreedInSteps() throws {
        let tree = try Tree()
        let file = try tree.create("f")
        try fill(tree, file)
        #expect(try tree.reference(key(5))?.count == 81920 / 64)
        try tree.expectSound()
        let outcome = try tree.unlink("f")
        guard case .removed(_, true, _) = outcome else { throw Unexpected(outcome: outcome) }
        #expect(try tree.namespace.orphans(limit: 10) == [file])
        try tree.expectSound()
        try tree.run(.reap([file]))
        #expect(try tree.namespace.orphans(limit: 10).isEmpty)
        #expect(tree.namespace.statistics.blocks == 0)
        try tree.expectSound()
    }

    @Test func listsInOrderAndInParts() throws {
        let tree = try Tree()
        let directory = try tree.directory("d")
        for number in 0..<25 { try tree.create("f\(number)", in: directory) }
        // Neighbours in key order that must not appear.
        try tree.create("zz", in: try tree.directory("e"))
        var names: [String] = []
        var after: Name?
        while true {
            let query = Query.list(directory: directory, after: after, limit: 10, detail: .attributes)
            guard case .entries(let entries, let complete) = try tree.namespace.answer(query) else { throw Unexpected() }
            #expect(entries.allSatisfy { $0.attributes?.inode == $0.inode })
            names += entries.map(\.name.text)
            after = entries.last?.name
            if complete { break }
        }
        #expect(names == (0..<25).map { "f\($0)" }.sorted())
        for limit in [0, 4097, -1] {
            let list = Query.list(directory: directory, after: nil, limit: limit, detail: .nothing)
            #expect(try tree.namespace.answer(list) == .failed(.invalid))
        }
    }

    @Test func aListingWithContentsTellsWhatLookupsTell() throws {
        let tree = try Tree()
        let directory = try tree.directory("d")
        try tree.directory("inner", in: directory)
        try tree.edit(try tree.create("inline", in: directory), [.inline([1, 2, 3])])
        try tree.edit(try tree.create("hole", in: directory), [.truncate(1 << 30)])
        for (name, count) in [("one", 1), ("most", Limits.extentsPerLookup), ("more", Limits.extentsPerLookup + 1)] {
            try tree.edit(try tree.create(name, in: directory), (0..<UInt64(count)).map { extent($0 * 20_000, 10_000, $0) })
        }
        let list = Query.list(directory: directory, after: nil, limit: Limits.contentsPerAnswer, detail: .contents)
        guard case .entries(let entries, true) = try tree.namespace.answer(list) else { throw Unexpected() }
        #expect(entries.map(\.name.text) == ["hole", "inline", "inner", "more", "most", "one"])
        for entry in entries {
            guard case .found(let attributes, let content) = try tree.namespace.answer(.lookup(parent: directory, name: entry.name)) else { throw Unexpected() }
            #expect(entry.attributes == attributes)
            #expect(entry.content == content, "\(entry.name.text)")
        }
        #expect(entries.filter { $0.content == nil }.map(\.name.text) == ["inner", "more"])
        let names = Query.list(directory: directory, after: nil, limit: 10, detail: .directories)
        guard case .entries(let fewer, true) = try tree.namespace.answer(names) else { throw Unexpected() }
        #expect(fewer.map(\.name) == entries.map(\.name))
        #expect(fewer.compactMap(\.attributes) == entries.filter { $0.kind == .directory }.compactMap(\.attributes))
        let tooMany = Query.list(directory: directory, after: nil, limit: Limits.contentsPerAnswer + 1, detail: .contents)
        #expect(try tree.namespace.answer(tooMany) == .failed(.invalid))
    }

    @Test func path() throws {
        let tree = try Tree()
        let first = try tree.directory("a")
        let second = try tree.directory("b", in: first)
        try tree.rename("b", in: first, to: "c")
        try tree.rename("a", to: "inner", under: second)
        guard case .path(let way, let names) = try tree.namespace.answer(.path(first)) else { throw Unexpected() }
        #expect(way.map(\.inode) == [first, second, .root])
        #expect(names.map(\.text) == ["inner", "c"])
        #expect(try tree.namespace.answer(.path(.root)) == .path([try tree.attributes(.root)], names: []))
        #expect(try tree.namespace.answer(.path(try tree.create("f"))) == .failed(.notDirectory))
        try tree.expectSound()
    }
}
