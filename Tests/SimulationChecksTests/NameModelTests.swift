import Glibc
import Namespace
import SimulationChecks
import Testing

@Suite struct NameModelTests {
    private typealias Step = (UInt16, NameCall, NameOutcome?)
    private let root: UInt64 = 10

    private func file(_ inode: UInt64, links: UInt32 = 1) -> NameOutcome {
        .entry(NameAttributes(inode: inode, kind: .file, links: links, entries: 0))
    }

    private func directory(_ inode: UInt64, links: UInt32 = 2, entries: UInt64 = 0) -> NameOutcome {
        .entry(NameAttributes(inode: inode, kind: .directory, links: links, entries: entries))
    }

    private func create(_ name: String, in parent: UInt64 = 10, _ kind: FileKind = .file, isExclusive: Bool = true, symbol: UInt64 = 1) -> NameCall {
        .create(parent: parent, name: name, kind: kind, isExclusive: isExclusive, target: "t", symbol: NameState.symbolBit | symbol)
    }

    private func lookup(_ name: String, in parent: UInt64 = 10) -> NameCall { .lookup(parent: parent, name: name) }

    private func rename(_ name: String, _ newName: String, from: UInt64 = 10, to: UInt64 = 10, _ mode: RenameMode = .replace) -> NameCall {
        .rename(from: from, name: name, to: to, newName: newName, mode: mode)
    }


    private func verdict(_ steps: [[Step]]) -> Verdict {
        let model = NameModel(root: root, kinds: [20: .file, 21: .directory, 22: .symlink])
        return Linearizability.check(model, inSequence(steps.flatMap { $0 }))
    }

    private func accepted(_ steps: [Step]..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(verdict(steps) == .linearizable, sourceLocation: sourceLocation)
    }

    private func refused(_ steps: [Step]..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(verdict(steps).isViolation, sourceLocation: sourceLocation)
    }

    @Test func anOrdinaryLife() {
        accepted([
                (1, create("a"), file(20)), (2, lookup("a"), file(20)), (2, create("a"), .failed(EEXIST)),
                (2, create("a", isExclusive: false), file(20)), (1, create("d", .directory), directory(21)),
                (2, .link(inode: 20, parent: 21, name: "b"), file(20, links: 2)), (1, .attributes(10), directory(10, links: 3, entries: 2)),
                (1, .removeDirectory(parent: 10, name: "d"), .failed(ENOTEMPTY)), (1, .unlink(parent: 10, name: "d"), .failed(EISDIR)),
                (2, .removeDirectory(parent: 10, name: "a"), .failed(ENOTDIR)), (2, .unlink(parent: 10, name: "a"), .done),
                (1, .attributes(20), file(20)), (1, rename("b", "a", from: 21), .done), (2, .list(21), .listing([])),
                (2, .list(10), .listing([ListedName(name: "a", inode: 20, kind: .file), ListedName(name: "d", inode: 21, kind: .directory)])),
                (1, .removeDirectory(parent: 10, name: "d"), .done), (2, lookup("x", in: 21), .failed(ESTALE)),
                (2, create("x", in: 21), .failed(ENOENT)), (1, create("s", .symlink), .entry(NameAttributes(inode: 22, kind: .symlink, links: 1, entries: 0))),
                (2, .target(22), .target("t")), (2, .target(20), .failed(EINVAL)), (2, lookup("x", in: 20), .failed(ENOTDIR)),
            ])
    }

    /// A mount that exchanges names looks both up, perhaps before the leader looks at either.
    @Test func ofTwoReasonsAgainstAnExchangeEitherMayBeTold() {
        let start: [Step] = [
            (1, create("a"), file(20)), (1, create("d", .directory), directory(21)), (1, .removeDirectory(parent: 10, name: "d"), .done),
        ]
        accepted(start, [(2, rename("x", "y", from: 21, to: 20, .exchange), .failed(ENOTDIR))])
        accepted(start, [(2, rename("x", "y", from: 21, to: 20, .exchange), .failed(ESTALE))])
        refused(start, [(2, rename("x", "y", from: 21, to: 20), .failed(ENOTDIR))])
        refused(start, [(2, rename("x", "y", from: 21, to: 20, .exchange), .failed(EEXIST))])
    }

    @Test func renames() {
        let start: [Step] = [
            (1, create("a"), file(20)), (1, create("b"), file(21)), (1, create("d", .directory), directory(22)),
            (1, create("e", in: 22, .directory), directory(23)),
        ]
        accepted(start, [(2, rename("a", "b"), .done), (1, lookup("b"), file(20)), (1, .attributes(21), .failed(ESTALE))])
        accepted(start, [(2, rename("a", "b", .noReplace), .failed(EEXIST)), (1, lookup("b"), file(21))])
        accepted(start, [(2, rename("a", "b", .exchange), .done), (1, lookup("b"), file(20)), (1, lookup("a"), file(21))])
        accepted(start, [(2, rename("a", "x", .exchange), .failed(ENOENT)), (2, rename("x", "a"), .failed(ENOENT))])
        accepted(start, [(2, rename("a", "d"), .failed(EISDIR)), (2, rename("d", "a"), .failed(ENOTDIR))])
        accepted(start, [(2, rename("d", "f", to: 23), .failed(EINVAL)), (2, rename("e", "d", from: 22), .failed(ENOTEMPTY))])
        accepted(start, [(2, rename("e", "d", from: 22, .exchange), .failed(EINVAL))])
        accepted(start, [(2, rename("e", "g", from: 22), .done), (1, .attributes(10), directory(10, links: 4, entries: 4))])
        // A wrong error, and success in place of one.
        refused(start, [(2, rename("a", "b", .noReplace), .done)])
        refused(start, [(2, rename("d", "f", to: 23), .done)])
        refused(start, [(2, rename("d", "f", to: 23), .failed(ENOTEMPTY))])
        refused(start, [(2, rename("a", "d"), .failed(ENOENT))])
        // Replaced, and the old file is still found; moved, and found under both names or under none.
        refused(start, [(2, rename("a", "b"), .done), (1, lookup("b"), file(21))])
        refused(start, [(2, rename("a", "c"), .done), (1, lookup("a"), file(20))])
        refused(start, [(2, rename("a", "c"), .done), (1, lookup("c"), .failed(ENOENT))])
    }

    @Test func twoNamesOfOneFile() {
        let start: [Step] = [(1, create("a"), file(20)), (1, .link(inode: 20, parent: 10, name: "b"), file(20, links: 2))]
        accepted(start, [(1, rename("a", "b"), .done), (2, lookup("a"), file(20, links: 2))])
        refused(start, [(1, rename("a", "b"), .done), (2, lookup("a"), .failed(ENOENT))])
        refused(start, [(2, lookup("b"), file(20, links: 1))])
        accepted(start, [(1, .unlink(parent: 10, name: "a"), .done), (2, lookup("b"), file(20))])
        refused(start, [(1, .unlink(parent: 10, name: "a"), .done), (2, lookup("b"), file(20, links: 2))])
        accepted([(1, create("d", .directory), directory(20)), (1, .link(inode: 20, parent: 10, name: "b"), .failed(EPERM))])
    }

    @Test func lostNames() { refused([(1, create("a"), file(20)), (2, lookup("a"), .failed(ENOENT))]) }

    @Test func resurrectedNames() {
        refused([(1, create("a"), file(20)), (1, .unlink(parent: 10, name: "a"), .done), (2, lookup("a"), file(20))])
        refused([(1, create("a"), file(20)), (1, .unlink(parent: 10, name: "a"), .done), (1, .attributes(20), file(20))])
        // Somebody has it open: it has no links.
        accepted([(1, create("a"), file(20)), (1, .unlink(parent: 10, name: "a"), .done), (1, .attributes(20), file(20, links: 0))])
    }

    /// While somebody has it open it is what it was, after that it is nothing.
    @Test func callsOnWhatIsGone() {
        let start: [Step] = [
            (1, create("a"), file(20)), (1, .unlink(parent: 10, name: "a"), .done), (1, create("d", .directory), directory(21)),
            (1, .removeDirectory(parent: 10, name: "d"), .done),
        ]
        accepted(start, [(1, lookup("x", in: 20), .failed(ENOTDIR)), (1, lookup("x", in: 20), .failed(ESTALE)), (1, lookup("x", in: 21), .failed(ENOENT))])
        accepted(start, [(1, .list(21), .listing([])), (1, .list(21), .failed(ESTALE)), (1, .list(20), .failed(ENOTDIR))])
        accepted(start, [(1, .link(inode: 20, parent: 10, name: "b"), .failed(ENOENT)), (1, .link(inode: 21, parent: 10, name: "b"), .failed(EPERM))])
        refused(start, [(1, lookup("x", in: 20), .failed(ENOENT))])
        refused(start, [(1, lookup("x", in: 21), .failed(ENOTDIR))])
        refused(start, [(1, create("x", in: 21), file(23))])
        refused(start, [(1, .link(inode: 20, parent: 10, name: "b"), file(20))])
    }

    @Test func commandsCarriedOutTwice() {
        // The second attempt's answer: exactly once is broken.
        refused([(1, create("a"), .failed(EEXIST))])
        refused([(1, create("a"), file(20)), (1, .unlink(parent: 10, name: "a"), .failed(ENOENT))])
    }

    @Test func reusedInodes() {
        refused([(1, create("a"), file(20)), (2, create("b"), file(20))])
        refused([(1, create("a"), nil), (2, create("b"), file(20)), (2, lookup("a"), file(20, links: 1))])
    }

    @Test func wrongListings() {
        let start: [Step] = [(1, create("a"), file(20)), (1, create("b"), file(21))]
        let a = ListedName(name: "a", inode: 20, kind: .file)
        let b = ListedName(name: "b", inode: 21, kind: .file)
        accepted(start, [(2, .list(10), .listing([a, b]))])
        refused(start, [(2, .list(10), .listing([a]))])
        refused(start, [(2, .list(10), .listing([a, a, b]))])
        refused(start, [(2, .list(10), .listing([a, ListedName(name: "b", inode: 21, kind: .directory)]))])
        refused(start, [(2, .attributes(10), directory(10, links: 2, entries: 1))])
    }

    @Test func openCreationsGetTheirInodesWhenTheyAreSeen() {
        let start: [Step] = [(1, create("d", .directory, symbol: 7), nil)]
        accepted(start, [(2, lookup("d"), .failed(ENOENT)), (2, lookup("d"), directory(30))])
        accepted(start, [(2, lookup("d"), .failed(ENOENT)), (2, create("d"), file(31))])
        accepted(start, [(2, lookup("d"), directory(30)), (2, create("x", in: 30), file(32)), (1, lookup("x", in: 30), file(32))])
        accepted(start, [(2, .list(10), .listing([ListedName(name: "d", inode: 30, kind: .directory)])), (2, .attributes(30), directory(30))])
        refused(start, [(2, lookup("d"), directory(30)), (2, lookup("d"), directory(33))])
        refused(start, [(2, lookup("d"), directory(30)), (2, lookup("d"), .failed(ENOENT))])
    }

    @Test func openRemovalsHappenOnce() {
        let start: [Step] = [(1, create("a"), file(20)), (1, .unlink(parent: 10, name: "a"), nil)]
        accepted(start, [(2, lookup("a"), file(20)), (2, lookup("a"), .failed(ENOENT))])
        refused(start, [(2, lookup("a"), .failed(ENOENT)), (2, lookup("a"), file(20))])
    }
}
