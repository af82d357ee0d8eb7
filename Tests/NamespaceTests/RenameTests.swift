import Model
import Namespace
import Testing

/// rename(2) and renameat2(2).
@Suite struct RenameTests {
    /// /d1 (with /d1/sub), /d2 (empty), /full/x, /f, /g, /hard = /f.
    private func sample() throws -> Tree {
        let tree = try Tree()
        let first = try tree.directory("d1")
        try tree.directory("sub", in: first)
        try tree.directory("d2")
        try tree.create("x", in: try tree.directory("full"))
        let file = try tree.create("f")
        try tree.create("g")
        try tree.link(file, "hard")
        return tree
    }

    struct Case: CustomTestStringConvertible {
        var from: String
        var to: String
        var mode: RenameMode = .replace
        var error: NamespaceError?
        var testDescription: String { "\(from) \(to) \(mode)" }
    }

    @Test(arguments: [
        Case(from: "missing", to: "f", error: .notFound),
        Case(from: "f", to: "g", error: nil),
        Case(from: "f", to: "new", error: nil),
        Case(from: "f", to: "d2", error: .isDirectory),
        Case(from: "d1", to: "f", error: .notDirectory),
        Case(from: "d1", to: "d2", error: nil),
        Case(from: "d1", to: "full", error: .notEmpty),
        Case(from: "f", to: "g", mode: .noReplace, error: .exists),
        Case(from: "f", to: "f", mode: .noReplace, error: .exists),
        Case(from: "f", to: "hard", mode: .noReplace, error: .exists),
        Case(from: "f", to: "new", mode: .noReplace, error: nil),
        Case(from: "f", to: "new", mode: .exchange, error: .notFound),
        Case(from: "f", to: "g", mode: .exchange, error: nil),
        Case(from: "f", to: "full", mode: .exchange, error: nil),
        Case(from: "full", to: "d1", mode: .exchange, error: nil),
    ])
    func table(_ test: Case) throws {
        let tree = try sample()
        let source = try tree.lookup(test.from)
        let target = try tree.lookup(test.to)
        let outcome = try tree.rename(test.from, to: test.to, test.mode)
        #expect(outcome.error == test.error)
        if test.error == nil {
            #expect(try tree.lookup(test.to)?.inode == source?.inode)
            #expect(try tree.lookup(test.from)?.inode == (test.mode == .exchange ? target?.inode : nil))
            #expect(outcome.attributes?.changed == tree.time)
            #expect(try tree.attributes(.root).modified == tree.time)
        } else {
            #expect(try tree.lookup(test.from) == source)
            #expect(try tree.lookup(test.to) == target)
        }
        try tree.expectSound()
    }

    @Test(arguments: [RenameMode.replace, .exchange])
    func sameInodeIsNoChange(_ mode: RenameMode) throws {
        let tree = try sample()
        let before = try tree.attributes(.root)
        let file = try tree.lookup("f")
        for name in ["hard", "f"] {
            let outcome = try tree.rename("f", to: name, mode)
            guard case .renamed(let moved, let other, false, let parents) = outcome else { throw Unexpected(outcome: outcome) }
            #expect(moved == file && other == file && parents == [before])
        }
        #expect(try tree.lookup("f") == file && tree.lookup("hard") == file)
        try tree.expectSound()
    }

    @Test func directoryBetweenDirectories() throws {
        let tree = try sample()
        let first = try #require(try tree.lookup("d1")).inode
        let second = try #require(try tree.lookup("d2")).inode
        let outcome = try tree.rename("sub", in: first, to: "moved", under: second)
        guard case .renamed(let moved, nil, false, let parents) = outcome else { throw Unexpected(outcome: outcome) }
        #expect(moved.parent == second && moved.changed == tree.time && moved.modified < tree.time)
        #expect(parents.map(\.inode) == [first, second])
        #expect(parents.map(\.links) == [2, 3] && parents.map(\.entries) == [0, 1])
        #expect(parents.allSatisfy { $0.modified == tree.time && $0.changed == tree.time })
        try tree.expectSound()
    }

    @Test func replacedInodeLosesALink() throws {
        let tree = try sample()
        let file = try #require(try tree.lookup("f")).inode
        let outcome = try tree.rename("g", to: "f")
        guard case .renamed(_, let other?, false, let parents) = outcome else { throw Unexpected(outcome: outcome) }
        #expect(other.inode == file && other.links == 1 && other.changed == tree.time)
        #expect(parents.count == 1)
        let last = try tree.rename("f", to: "hard", keep: true)
        guard case .renamed(_, let gone?, true, _) = last else { throw Unexpected(outcome: last) }
        #expect(gone.links == 0)
        #expect(try tree.namespace.orphans(limit: 9) == [file])
        try tree.expectSound()
    }

    /// EINVAL: "an attempt was made to make a directory a subdirectory of itself."
    @Test func intoOwnSubtree() throws {
        let tree = try sample()
        let first = try #require(try tree.lookup("d1")).inode
        let sub = try #require(try tree.lookup("sub", in: first)).inode
        let deep = try tree.directory("deep", in: sub)
        for mode in [RenameMode.replace, .noReplace] {
            #expect(try tree.rename("d1", to: "x", under: first, mode).error == .loop)
            #expect(try tree.rename("d1", to: "x", under: deep, mode).error == .loop)
        }
        // The target is above the source: full, so not replaceable; not exchangeable either.
        #expect(try tree.rename("deep", in: sub, to: "d1").error == .notEmpty)
        #expect(try tree.rename("deep", in: sub, to: "d1", .exchange).error == .loop)
        #expect(try tree.rename("d1", to: "deep", under: sub, .exchange).error == .loop)
        // A file is in nobody's way.
        #expect(try tree.rename("f", to: "f", under: deep).error == nil)
        try tree.expectSound()
    }

    @Test func exchangeAcrossDirectories() throws {
        let tree = try sample()
        let first = try #require(try tree.lookup("d1")).inode
        let sub = try #require(try tree.lookup("sub", in: first)).inode
        let file = try #require(try tree.lookup("g")).inode
        let outcome = try tree.rename("sub", in: first, to: "g", .exchange)
        guard case .renamed(let moved, let other?, false, let parents) = outcome else { throw Unexpected(outcome: outcome) }
        #expect(moved.inode == sub && moved.parent == .root && other.inode == file)
        #expect(parents.map(\.inode) == [first, .root])
        #expect(try tree.attributes(first).links == 2)
        #expect(try tree.attributes(.root).links == 6)
        try tree.expectSound()
    }
}
