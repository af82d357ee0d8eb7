import Glibc

/// Random operations on a tree and on an oracle, which must agree in every result. With several sides, which are mounts of one tree, each operation
/// goes through one of them.
package final class RandomRun {
    /// A mount, and a view of the oracle with descriptors that go with the mount's.
    package struct Side {
        let tree: any SystemCalls
        let oracle: any SystemCalls

        package init(tree: any SystemCalls, oracle: any SystemCalls) {
            self.tree = tree
            self.oracle = oracle
        }
    }

    private let sides: [Side]
    private let seed: UInt64
    private var calls: RandomCalls
    private var history: [String] = []
    package private(set) var done = 0
    package private(set) var succeeded = 0
    package private(set) var comparisons = 0
    /// Operations between two comparisons of the trees.
    private let interval: Int

    /// - Parameters:
    ///   - usesPipes: fifos may be opened; needs a kernel.
    ///   - usesMappings: likewise mmap(2).
    package init(seed: UInt64, sides: [Side], usesPipes: Bool = true, usesMappings: Bool = true, interval: Int = 1000) {
        self.sides = sides
        self.seed = seed
        self.interval = interval
        calls = RandomCalls(seed: seed, sides: sides.count, usesPipes: usesPipes, usesMappings: usesMappings)
    }

    /// - Returns: the first difference, with the operations before it; nil: none.
    package func run(steps: Int) throws -> String? {
        try begin()
        defer { end() }
        for step in 0..<steps {
            let (index, user, call) = calls.next()
            let side = sides[index]
            if sides.count > 1 {
                // The kernel takes the size of a file as it knew it, also where that is no longer valid, to find the end of the source of
                // copy_file_range(2) (generic_copy_file_checks) and the offset of a descriptor after an append (generic_write_checks; the bytes go
                // to the end wherever that is). fstat(2) makes it ask.
                switch call {
                case .copyRange(let from, _, let to, _, _, _): for number in [from, to] { _ = side.tree.perform(.status(.descriptor(number)), as: user) }
                case .write(let number, _), .pwrite(let number, _, _): _ = side.tree.perform(.status(.descriptor(number)), as: user)
                default: for target in Self.ownedBySomebody(call) where !user.isRoot { _ = side.tree.perform(.status(target), as: .root) }
                }
            }
            var answer = side.tree.perform(call, as: user)
            // A directory that another mount moved, met here first under the lock of a rename: the kernel cannot move its own entry then (__d_unalias,
            // fs/dcache.c). Any lookup does it.
            if sides.count > 1, case .rename(let from, let to, _) = call, case .failed(ESTALE) = answer {
                for path in [from, to] { _ = side.tree.perform(.status(.link(path)), as: .root) }
                answer = side.tree.perform(call, as: user)
            }
            let found = Agreement.of(answer, call)
            let expected = Agreement.of(side.oracle.perform(call, as: user), call)
            done = step + 1
            note("\(step) \(sides.count > 1 ? "mount \(index) " : "")\(user): \(call) = \(expected)")
            guard found == expected || Agreement.agree(found, expected) else {
                return report("\(call) as \(user) gave\n  \(found), expected\n  \(expected)" + again(call, user))
            }
            if case .failed = expected {} else { succeeded += 1 }
            calls.learn(index, call, expected) { number in
                guard case .status(let status) = side.oracle.perform(.status(.descriptor(number)), as: .root) else { return false }
                return status.kind == Flags.directoryType
            }
            if step % interval == interval - 1 || step == steps - 1 {
                comparisons += 1
                if let difference = compareTrees() { return report(difference) }
            }
        }
        return nil
    }

    /// Whose owner the kernel compares with the caller, by what it last knew (setattr_prepare, check_sticky and may_linkat ask for nothing); stat(2)
    /// makes it ask.
    private static func ownedBySomebody(_ call: Call) -> [Target] {
        switch call {
        case .chmod(let target, _), .chown(let target, _, _), .setTimes(let target, _), .setXattr(let target, _, _, _), .removeXattr(let target, _): [target]
        case .unlink(let path), .removeDirectory(let path): [.link(path)]
        case .rename(let path, let other, _): [.link(path), .link(other)]
        case .link(let path, _, _): [.link(path), .path(path)]
        case .linkDescriptor(let number, _): [.descriptor(number)]
        default: []
        }
    }

    private var name: String { "random-\(seed)" }

    /// One directory deeper, so that "..", also in symlinks, leads to one that is new, too.
    private func begin() throws {
        guard let first = sides.first else { return }
        for calls in [first.tree, first.oracle] {
            try calls.enter(name)
            guard calls.perform(.makeDirectory("base", 0o777), as: .root) == .number(0) else { throw Failure("cannot make \(name)/base") }
            calls.part()
        }
        for side in sides {
            try side.tree.join(name + "/base")
            try side.oracle.join(name + "/base")
        }
    }

    private func end() {
        for side in sides {
            side.tree.part()
            side.oracle.part()
        }
        guard let first = sides.first else { return }
        for calls in [first.tree, first.oracle] {
            // Made anew, and removed.
            try? calls.enter(name)
            calls.leave()
        }
    }

    /// What each side says to a question when it is asked again: whether a stale answer stays.
    private func again(_ call: Call, _ user: User) -> String {
        let path: Path
        switch call {
        case .status, .getXattr, .listXattr, .readLink: return sides.enumerated().map { "\n  again, mount \($0): \($1.tree.perform(call, as: user))" }.joined()
        case .access(let asked, _): path = asked
        case .open(let asked, _, _): path = asked
        default: return ""
        }
        return sides.enumerated().map { index, side in
            let answers = [side.tree.perform(.access(path, F_OK), as: user), side.tree.perform(.status(.path(path)), as: .root)]
            return "\n  then, mount \(index): \(answers), expected \(side.oracle.perform(.status(.path(path)), as: .root))"
        }.joined()
    }

    private func note(_ line: String) {
        history.append(line)
        if history.count > 400 { history.removeFirst(200) }
    }

    private func report(_ difference: String) -> String { history.suffix(200).joined(separator: "\n") + "\n" + difference }

    private func compareTrees() -> String? {
        guard let first = sides.first else { return nil }
        let expected = TreeListing(first.oracle).lines
        for (index, side) in sides.enumerated() {
            let found = TreeListing(side.tree).lines
            if found == expected { continue }
            let place = Array(zip(found, expected)).firstIndex { $0 != $1 } ?? min(found.count, expected.count)
            let (left, right) = zip(found, expected).first { $0 != $1 } ?? ("\(found.count) entries", "\(expected.count) entries")
            return "mount \(index): the trees differ at entry \(place): found\n  \(left), expected\n  \(right)"
        }
        return nil
    }
}

/// Answers without what two filesystems need not agree in: inode numbers, blocks, sizes of directories, the order of names, times that nobody set.
enum Agreement {
    /// Times set by `RandomCalls` are before this, those of the clock after it.
    static let present = Time(1_300_000_000)

    static func of(_ answer: Returned, _ call: Call) -> Returned {
        switch answer {
        case .status(var status):
            status.inode = 0
            status.blocks = 0
            status.changed = Time()
            status.accessed = Time()
            // Writing to a pipe changes the times of its file on local filesystems; FUSE inodes are without (S_NOCMTIME).
            if status.modified > present || status.kind == Flags.fifo { status.modified = present }
            if status.kind == Flags.directoryType { status.size = 0 }
            return .status(status)
        case .entries(let entries):
            return .entries(entries.map { Entry(name: $0.name, inode: 0, kind: $0.kind, next: 0) }.sorted { $0.name.lexicographicallyPrecedes($1.name) })
        case .bytes(let bytes):
            guard case .listXattr = call else { return answer }
            return .bytes(Array(bytes.split(separator: 0).map(Array.init).sorted { $0.lexicographicallyPrecedes($1) }.joined(separator: [0])))
        default:
            return answer
        }
    }

    /// What POSIX lets a filesystem choose.
    static func agree(_ left: Returned, _ right: Returned) -> Bool {
        // A machine does not know of a directory that is open there and was removed on another; there is nothing in it.
        if case .entries(let names) = left, names.allSatisfy({ $0.name == [0x2E] || $0.name == [0x2E, 0x2E] }), right == .failed(ENOENT) { return true }
        guard case .failed(let one) = left, case .failed(let other) = right else { return false }
        return Set([one, other]) == Set([EEXIST, ENOTEMPTY])
    }
}
