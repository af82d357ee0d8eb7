import Bytes
import Digest
import Model
import Namespace
import OrderedStore
import RocksStore
import Testing

/// How log entries are applied: exactly once, whole, and the same everywhere.
@Suite struct LogTests {
    private let session = SessionID(rawValue: 5)

    private func proposal(_ sequence: UInt64, below: UInt64 = 1, _ command: Command) -> Proposal {
        Proposal(session: session, sequence: sequence, acknowledgedBelow: below, time: 77, command: command)
    }

    private func create(_ name: String) throws -> Command {
        .create(parent: .root, name: try name.asName, kind: .file, mode: 0o600, umask: 0, uid: 0, gid: 0, device: 0, target: [])
    }

    @Test func exactlyOnce() throws {
        let tree = try Tree()
        #expect(try tree.run([proposal(1, try create("a"))]) == [.failed(.noSession)])
        try tree.run(.openSession(session, name: "mount"))
        #expect(try tree.run(.openSession(session, name: "mount")).error == nil)
        #expect(try tree.run(.openSession(session, name: "other")).error == .exists)
        let first = try tree.run([proposal(1, try create("a")), proposal(2, try create("a")), proposal(1, try create("a"))])
        #expect(first[0].error == nil && first[1].error == .exists && first[2] == first[0])
        // Repeated in a later entry, and after a restart, with the same outcome, failures included.
        #expect(tree.namespace.remembered == [2])
        try tree.unlink("a")
        #expect(tree.namespace.remembered == [])
        try tree.reload()
        #expect(try tree.run([proposal(2, try create("a")), proposal(1, try create("a"))]) == [first[1], first[0]])
        #expect(try tree.lookup("a") == nil)
        try tree.expectSound()
        // Acknowledged outcomes are gone and their commands refused.
        #expect(try tree.run([proposal(3, below: 3, try create("c"))])[0].error == nil)
        let late = [proposal(1, try create("d")), proposal(2, below: 2, try create("d"))]
        #expect(try tree.run(late) == [.failed(.invalid), .failed(.invalid)])
        #expect(try Rows(tree.store).outcome(session, 2) == nil)
        #expect(try Rows(tree.store).outcome(session, 3) != nil)
        try tree.expectSound()
    }

    /// Numbers are a session's own, come once and in ascending order, and survive a restart; what is made with one is as any other, but for its times.
    @Test func reservedNumbersAreUsedOnce() throws {
        let tree = try Tree()
        let directory = try tree.create("d", .directory, mode: 0o2755, gid: 30)
        let other = SessionID(rawValue: 6)
        for session in [session, other] { try tree.run(.openSession(session, name: "mount")) }
        var sequence: UInt64 = 0
        func run(_ command: Command, shown: Timestamp? = nil) throws -> Outcome {
            sequence += 1
            var proposal = proposal(sequence, below: sequence, command)
            proposal.shown = shown
            return try tree.run([proposal])[0]
        }
        func make(_ number: UInt64, _ name: String, _ kind: FileKind = .file) throws -> Command {
            .createNumbered(
                InodeID(rawValue: number), parent: directory, name: try name.asName, kind: kind, mode: 0o666, umask: 0o22, uid: 1, gid: 2, target: [])
        }
        #expect(try tree.run(.reserveInodes(1)).error == .invalid, "nobody's")
        #expect(try run(.reserveInodes(0)).error == .invalid)
        #expect(try run(.reserveInodes(Limits.inodesPerReservation + 1)).error == .invalid)
        guard case .reserved(let numbers) = try run(.reserveInodes(4)) else { throw Unexpected() }
        #expect(numbers == directory.rawValue + 1..<directory.rawValue + 5)
        let first = numbers.lowerBound
        #expect(try tree.create("next").rawValue == first + 4)
        #expect(try tree.run(try make(first, "n")).error == .invalid, "nobody's")
        #expect(try tree.run([Proposal(session: other, sequence: 1, acknowledgedBelow: 1, time: 77, command: try make(first, "n"))])[0].error == .invalid)
        let outcome = try run(try make(first + 1, "a"), shown: 55)
        let made = try #require(outcome.attributes)
        #expect(made.inode.rawValue == first + 1 && made.created == 55 && made.changed == 55 && made.mode == 0o644 && made.gid == 30 && made.version == 1)
        let parent = try tree.attributes(directory)
        #expect(parent.modified == 55 && parent.changed == 55)
        #expect(made == Attributes(made.inode, .file, in: try tree.attributes(directory), mode: 0o644, uid: 1, gid: 2, links: 1, size: 0, at: 55))
        // What was passed over is gone, and so is what was used.
        for number in [first, first + 1, first + 4, 1] { #expect(try run(try make(number, "b")).error == .invalid) }
        // A creation that fails uses nothing.
        #expect(try run(try make(first + 2, "a")).error == .exists)
        #expect(try run(try make(first + 2, "b", .fifo)).error == .invalid)
        try tree.reload()
        #expect(try run(try make(first + 2, "sub", .directory)).attributes?.mode == 0o2644)
        guard case .reserved(let more) = try run(.reserveInodes(2)) else { throw Unexpected() }
        #expect(try run(try make(first + 3, "c")).error == nil)
        #expect(try run(try make(more.lowerBound, "d")).error == nil)
        #expect(try run(try make(first + 3, "e")).error == .invalid)
        // Of many runs the oldest are forgotten.
        for _ in 0..<Limits.reservationsPerSession { _ = try run(.reserveInodes(1)) }
        #expect(try run(try make(more.lowerBound + 1, "e")).error == .invalid)
        try tree.expectSound()
    }

    @Test func sequencesAreBounded() throws {
        let tree = try Tree()
        try tree.run(.openSession(session, name: "mount"))
        #expect(try tree.run([proposal(1 + Limits.sequenceWindow, try create("a"))])[0].error == .invalid)
        #expect(try tree.run([proposal(Limits.sequenceWindow, try create("a"))])[0].error == nil)
        // Out of order within the window.
        #expect(try tree.run([proposal(7, try create("b"))])[0].error == nil)
        #expect(try tree.run([proposal(.max, below: .max, try create("c"))])[0].error == .invalid)
        #expect(try tree.run([proposal(4, below: 5, try create("c"))])[0].error == .invalid)
        #expect(try tree.run([proposal(1 << 60, below: 1 << 60, try create("d"))])[0].error == nil)
        try tree.expectSound()
        #expect(try tree.namespace.sessions().map(\.name) == ["mount"])
        #expect(try tree.run(.closeSession(session)).error == nil)
        #expect(try tree.run(.closeSession(session)).error == .noSession)
        #expect(try tree.run([proposal(1, try create("e"))])[0].error == .noSession)
        #expect(try tree.namespace.sessions().isEmpty)
        try tree.expectSound()
        let end = Table.outcome.end
        #expect(try Rows(tree.store).pairs(from: Table.outcome.prefix, to: end).isEmpty)
    }

    @Test func sessionMayCloseItself() throws {
        let tree = try Tree()
        try tree.run(.openSession(session, name: "mount"))
        let outcomes = try tree.run([proposal(1, try create("a")), proposal(2, .closeSession(session)), proposal(3, try create("b"))])
        #expect(outcomes[1].error == nil && outcomes[2].error == .noSession)
        try tree.expectSound()
    }

    @Test func appliedEntriesAreSkipped() throws {
        let tree = try Tree()
        try tree.create("a")
        let before = try dump(tree.store)
        let again = Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: 1, command: try create("b"))
        #expect(try tree.namespace.apply([again], index: 1, term: 9).isEmpty)
        #expect(try dump(tree.store) == before)
        #expect(try tree.namespace.apply([], index: 10, term: 2).isEmpty)
        #expect(tree.namespace.appliedIndex == 10 && tree.namespace.appliedTerm == 2)
        try tree.reload()
        #expect(tree.namespace.appliedIndex == 10 && tree.namespace.appliedTerm == 2)
    }

    @Test func recordsCompareAndSet() throws {
        let tree = try Tree()
        func set(_ key: String, _ version: UInt64, _ value: [UInt8]?) throws -> Outcome {
            try tree.run(.setRecord(key: key, expectedVersion: version, value: value))
        }
        #expect(try set("ring/a", 0, [1]) == .recordSet(version: 1))
        #expect(try set("ring/a", 0, [2]) == .failed(.conflict(1)))
        #expect(try set("ring/b", 0, [3]) == .recordSet(version: 2))
        #expect(try set("ring/a", 1, [4]) == .recordSet(version: 3))
        #expect(try tree.namespace.answer(.record(key: "ring/a")) == .record(value: [4], version: 3))
        #expect(try tree.namespace.answer(.records(prefix: "ring/")) == .keys(["ring/a", "ring/b"]))
        #expect(try tree.namespace.answer(.records(prefix: "ring/b")) == .keys(["ring/b"]))
        #expect(try set("ring/a", 3, nil) == .recordSet(version: 0))
        #expect(try set("ring/a", 3, [5]) == .failed(.conflict(0)))
        // A version never comes twice.
        #expect(try set("ring/a", 0, [5]) == .recordSet(version: 4))
        #expect(try set("", 0, [5]) == .failed(.invalid))
        #expect(try set("x", 0, nil) == .recordSet(version: 0))
        #expect(try set(Namespace.collectionDelayRecord, 0, Array("-1".utf8)) == .failed(.invalid))
        #expect(try tree.namespace.answer(.record(key: "none")) == .failed(.notFound))
        try tree.expectSound()
    }

    @Test func stateTravelsInChunks() throws {
        let source = try Tree()
        for number in 0..<300 { try source.create("f\(number)") }
        let snapshot = source.store.snapshot()
        let digest = source.namespace.digest
        let rows = try dump(snapshot)
        try source.create("later")
        let target = try Tree()
        try target.create("old")
        var loader = try StateLoader(into: target.store)
        var chunks = StateChunks(snapshot)
        var count = 0
        while let chunk = try chunks.chunk(bytes: 5_000) {
            try loader.add(chunk)
            count += 1
            // Cut off here, the store would be refused.
            #expect(throws: StoreError.self) { try Namespace(store: target.store) }
        }
        #expect(count > 5)
        try loader.finish()
        try target.reload()
        #expect(target.namespace.digest == digest)
        #expect(try dump(target.store) == rows)
        try target.expectSound()

        #expect(throws: StoreError.self) {
            var loader = try StateLoader(into: MemoryStore())
            try loader.add([1, 2, 3])
        }
        #expect(throws: StoreError.self) {
            let loader = try StateLoader(into: MemoryStore())
            try loader.finish()
        }
    }

    @Test func decodersAreTotal() throws {
        var generator = SeededGenerator(seed: 3)
        let attributes = try Tree().attributes(.root)
        let proposals = RandomCommands(seed: 4).proposals(2_000)
        var samples = proposals.map(\.encoded)
        for proposal in proposals { #expect(try Proposal(decoding: proposal.encoded) == proposal) }
        let name = try "name".asName
        let entry = DirectoryEntry(name: name, inode: .root, kind: .directory, attributes: attributes)
        let extent = Extent(offset: 1, length: 2, key: key(3), blockLength: 4, blockOffset: 5)
        let answers: [Answer] = [
            .attributes(attributes), .found(attributes, content: .inline([1])), .found(attributes, content: nil),
            .entries([entry, DirectoryEntry(name: name, inode: .root, kind: .file, attributes: nil)], complete: true),
            .entries([DirectoryEntry(name: name, inode: .root, kind: .file, attributes: attributes, content: .extents([extent]))], complete: false),
            .content(.extents([extent]), attributes: attributes), .bytes([1]), .names([[1], []]),
            .statistics(inodes: 1, referencedBytes: 2, blocks: 3), .record(value: [9], version: 4), .keys(["a", "b"]),
            .path([attributes, attributes], names: [name]), .failed(.collected([key(1)])), .failed(.conflict(4)), .failed(.inlineContent),
        ]
        for answer in answers { #expect(try Answer(decoding: answer.encoded) == answer) }
        let outcomes: [Outcome] = [
            .done(attributes: nil, parents: []), .done(attributes: attributes, parents: [attributes]),
            .removed(attributes: attributes, orphaned: true, parents: [attributes]),
            .renamed(moved: attributes, other: attributes, orphaned: false, parents: [attributes, attributes]), .recordSet(version: 3),
            .reserved(5..<9), .failed(.loop),
        ]
        for outcome in outcomes { #expect(try Outcome(decoding: outcome.encoded) == outcome) }
        let queries: [Query] = [
            .lookup(parent: .root, name: name), .attributes(.root), .list(directory: .root, after: name, limit: 5, detail: .attributes),
            .list(directory: .root, after: nil, limit: 5, detail: .contents), .list(directory: .root, after: nil, limit: 5, detail: .directories),
            .content(.root, offset: 1, length: .max), .symlink(.root), .xattr(.root, name: [1]), .xattrNames(.root), .statistics,
            .record(key: "k"), .records(prefix: ""), .path(.root),
        ]
        for query in queries { #expect(try Query(decoding: query.encoded) == query) }
        samples += answers.map(\.encoded) + outcomes.map(\.encoded) + queries.map(\.encoded)
        // Damaged in every way: an error or some value, but no trap; what decodes must encode again.
        for sample in samples {
            for _ in 0..<20 {
                var bytes = sample
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
                }
                if Bool.random(using: &generator) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator)) }
                if let proposal = try? Proposal(decoding: bytes) { #expect(proposal.encoded == bytes) }
                if let answer = try? Answer(decoding: bytes) { #expect(answer.encoded == bytes) }
                if let outcome = try? Outcome(decoding: bytes) { #expect(outcome.encoded == bytes) }
                if let query = try? Query(decoding: bytes) { #expect(query.encoded == bytes) }
                _ = try? InodeRecord(decoding: bytes)
                _ = try? ExtentRow(decoding: bytes, region: .max)
                _ = try? StateRecord(decoding: bytes)
            }
        }
        for error in [NamespaceError.notFound, .noSession, .inlineContent, .notPermitted, .stale] {
            #expect(try NamespaceError(decoding: error.encoded) == error)
        }
    }
}
