import Glibc

/// A filesystem in memory that remembers what a power loss would leave of it.
///
/// By the letter of POSIX, and no better: fsync of a file makes its content durable, fsync of a directory its entries, and nothing else is durable.
/// With `ordersNames` it behaves as ext4 documents: a sync of anything makes all earlier changes of names durable, in their order.
final class Volume {
    static let root: UInt64 = 1
    private static let inodesMax = 1_000_000

    let ordersNames: Bool
    /// Pages that fit.
    var capacity: Int
    var nodes: [UInt64: Node] = [:]
    var changes: [NameChange] = []
    /// Pages taken.
    var used = 0
    /// Counts power losses: what was opened before one is of no use afterwards.
    var epoch: UInt64 = 1
    var statistics = Statistics()

    var failsSync = false
    /// Syncs succeed and do nothing.
    var lies = false
    var failsWrite = false
    var failsRead = false
    var delayMilliseconds: UInt32 = 0

    private var nextNumber: UInt64 = 2

    struct Statistics {
        var syncs = 0
        var failedSyncs = 0
        var syncedPages = 0
        var writes = 0
        var reads = 0
        var powerLosses = 0
        var droppedPages = 0
        var keptPages = 0
        var tornPages = 0
        var droppedNames = 0
        var keptNames = 0
        var flippedBits = 0
        var refusedForSpace = 0
    }

    /// - Parameter capacity: in bytes.
    init(capacity: Int, ordersNames: Bool) {
        self.capacity = capacity / Page.size
        self.ordersNames = ordersNames
        let top = Node(Self.root, .directory, mode: S_IFDIR | 0o755, owner: getuid(), group: getgid())
        top.links = 1
        top.durableLinks = 1
        top.parent = Self.root
        nodes[Self.root] = top
    }

    // MARK: Finding

    func node(_ number: UInt64) throws(DiskFailure) -> Node {
        guard let node = nodes[number] else { throw DiskFailure(ESTALE) }
        return node
    }

    func directory(_ number: UInt64) throws(DiskFailure) -> Node {
        let found = try node(number)
        guard found.kind == .directory else { throw DiskFailure(ENOTDIR) }
        return found
    }

    func child(_ parent: UInt64, _ name: String) throws(DiskFailure) -> Node {
        guard name.utf8.count <= 255 else { throw DiskFailure(ENAMETOOLONG) }
        guard let number = try directory(parent).entries[name] else { throw DiskFailure(ENOENT) }
        return try node(number)
    }

    // MARK: Names

    func make(
        _ parent: UInt64, _ name: String, _ kind: Node.Kind, mode: mode_t, owner: uid_t, group: gid_t
    ) throws(DiskFailure) -> Node {
        let directory = try directory(parent)
        guard name.utf8.count <= 255 else { throw DiskFailure(ENAMETOOLONG) }
        guard directory.entries[name] == nil else { throw DiskFailure(EEXIST) }
        guard nodes.count < Self.inodesMax else { throw DiskFailure(ENOSPC) }
        try checkWritable()
        let made = Node(nextNumber, kind, mode: mode, owner: owner, group: group)
        nextNumber += 1
        made.parent = parent
        nodes[made.number] = made
        change([.init(directory: parent, name: name, target: made.number)], inodes: [made.number])
        return made
    }

    func link(_ number: UInt64, _ parent: UInt64, _ name: String) throws(DiskFailure) -> Node {
        let target = try node(number)
        guard target.kind != .directory else { throw DiskFailure(EPERM) }
        guard try directory(parent).entries[name] == nil else { throw DiskFailure(EEXIST) }
        try checkWritable()
        change([.init(directory: parent, name: name, target: number)], inodes: [number])
        return target
    }

    func remove(_ parent: UInt64, _ name: String, isDirectory: Bool) throws(DiskFailure) {
        let victim = try child(parent, name)
        if isDirectory {
            guard victim.kind == .directory else { throw DiskFailure(ENOTDIR) }
            guard victim.entries.isEmpty else { throw DiskFailure(ENOTEMPTY) }
        } else if victim.kind == .directory {
            throw DiskFailure(EISDIR)
        }
        try checkWritable()
        change([.init(directory: parent, name: name, target: nil)], inodes: [victim.number])
    }

    func rename(_ parent: UInt64, _ name: String, _ newParent: UInt64, _ newName: String, mayReplace: Bool) throws(DiskFailure) {
        let moved = try child(parent, name)
        guard newName.utf8.count <= 255 else { throw DiskFailure(ENAMETOOLONG) }
        let replaced = try directory(newParent).entries[newName]
        if let replaced {
            guard mayReplace else { throw DiskFailure(EEXIST) }
            if replaced == moved.number { return }
            let other = try node(replaced)
            if other.kind == .directory {
                guard moved.kind == .directory else { throw DiskFailure(EISDIR) }
                guard other.entries.isEmpty else { throw DiskFailure(ENOTEMPTY) }
            } else if moved.kind == .directory {
                throw DiskFailure(ENOTDIR)
            }
        }
        try checkWritable()
        change(
            [.init(directory: parent, name: name, target: nil), .init(directory: newParent, name: newName, target: moved.number)],
            inodes: [moved.number] + (replaced.map { [$0] } ?? []), isRename: true)
        if moved.kind == .directory { moved.parent = newParent }
    }

    /// Applies a change for the users; it waits for a sync.
    private func change(_ effects: [NameChange.Effect], inodes: [UInt64], isRename: Bool = false) {
        for effect in effects {
            guard let directory = nodes[effect.directory] else { continue }
            if let old = directory.entries[effect.name] { nodes[old]?.links -= 1 }
            directory.entries[effect.name] = effect.target
            if let target = effect.target { nodes[target]?.links += 1 }
            directory.touch()
        }
        for number in inodes {
            nodes[number]?.waitingChanges += 1
            release(number)
        }
        changes.append(NameChange(effects: effects, inodes: inodes, isRename: isRename))
    }

    // MARK: Content

    func read(_ number: UInt64, at offset: Int, count: Int, into target: UnsafeMutableRawPointer) throws(DiskFailure) -> Int {
        guard !failsRead else { throw DiskFailure(EIO) }
        statistics.reads += 1
        wait()
        return try node(number).content.read(at: offset, count: count, into: target)
    }

    func write(_ number: UInt64, at offset: Int, _ source: UnsafeRawPointer, count: Int) throws(DiskFailure) {
        guard offset >= 0, !offset.addingReportingOverflow(count).overflow, offset + count <= Content.sizeMax else { throw DiskFailure(EFBIG) }
        try checkWritable()
        let file = try node(number)
        try takeRoom(file.content.needed(at: offset, count: count))
        wait()
        measure(file) { $0.write(source, at: offset, count: count) }
        statistics.writes += 1
        file.touch()
    }

    func truncate(_ number: UInt64, to size: Int) throws(DiskFailure) {
        guard size >= 0, size <= Content.sizeMax else { throw DiskFailure(EFBIG) }
        try checkWritable()
        let file = try node(number)
        guard file.kind == .file else { throw DiskFailure(EINVAL) }
        measure(file) { $0.truncate(to: size) }
        file.touch()
    }

    func allocate(_ number: UInt64, mode: Int32, at offset: Int, count: Int) throws(DiskFailure) {
        guard offset >= 0, count > 0, !offset.addingReportingOverflow(count).overflow, offset + count <= Content.sizeMax else { throw DiskFailure(EFBIG) }
        try checkWritable()
        let file = try node(number)
        switch mode {
        case 0, FallocateMode.keepSize:
            try takeRoom(file.content.neededToAllocate(upTo: offset + count))
            measure(file) { $0.allocate(upTo: offset + count, keepSize: mode != 0) }
        case FallocateMode.keepSize | FallocateMode.punchHole, FallocateMode.keepSize | FallocateMode.zeroRange:
            measure(file) { $0.clear(at: offset, count: count) }
        default:
            throw DiskFailure(EOPNOTSUPP)
        }
        file.touch()
    }

    /// linux/falloc.h
    private enum FallocateMode {
        static let keepSize: Int32 = 1
        static let punchHole: Int32 = 2
        static let zeroRange: Int32 = 16
    }

    private func takeRoom(_ pages: Int) throws(DiskFailure) {
        guard pages == 0 || used + pages <= capacity else {
            statistics.refusedForSpace += 1
            throw DiskFailure(ENOSPC)
        }
    }

    private func checkWritable() throws(DiskFailure) { if failsWrite { throw DiskFailure(EIO) } }

    /// Keeps the count of used pages while a file's content changes.
    func measure(_ file: Node, _ body: (inout Content) -> Void) {
        let before = file.content.used
        body(&file.content)
        used += file.content.used - before
    }

    private func wait() { if delayMilliseconds > 0 { usleep(delayMilliseconds * 1000) } }

    // MARK: Syncing

    /// fsync(2) of a file or a directory.
    func sync(_ number: UInt64) throws(DiskFailure) {
        let node = try node(number)
        wait()
        statistics.syncs += 1
        if failsSync {
            // As Linux does it: the pages are given up, and the next sync has nothing to say about them.
            statistics.failedSyncs += 1
            if node.kind == .file { measure(node) { statistics.droppedPages += $0.revert() } }
            throw DiskFailure(EIO)
        }
        if lies { return }
        if node.kind == .file { statistics.syncedPages += node.content.sync() }
        if ordersNames {
            commit { _, _ in true }
        } else if node.kind == .directory {
            commit { _, change in change.effects.contains { $0.directory == number } }
        }
    }

    /// Makes the changes chosen durable, and what they need.
    private func commit(_ chosen: (Int, NameChange) -> Bool) {
        let (taken, left) = Self.split(changes, chosen)
        changes = left
        for change in taken {
            apply(change)
            for number in change.inodes {
                nodes[number]?.waitingChanges -= 1
                release(number)
            }
        }
    }

    /// Those chosen with the ones they need, and the rest, both in order. What is left of the rest no longer touches names that a later chosen one set.
    static func split(_ changes: [NameChange], _ chosen: (Int, NameChange) -> Bool) -> (taken: [NameChange], left: [NameChange]) {
        var needed: Set<UInt64> = []
        var isTaken = [Bool](repeating: false, count: changes.count)
        var settled: Set<String> = []
        var left: [NameChange] = []
        for (index, change) in changes.enumerated().reversed() {
            if chosen(index, change) || !needed.isDisjoint(with: change.inodes) {
                isTaken[index] = true
                if change.isRename { needed.formUnion(change.inodes) }
                for effect in change.effects { settled.insert("\(effect.directory)/\(effect.name)") }
            } else {
                var rest = change
                rest.effects.removeAll { settled.contains("\($0.directory)/\($0.name)") }
                left.append(rest)
            }
        }
        return (zip(changes, isTaken).filter(\.1).map(\.0), left.reversed())
    }

    /// Puts a change on the disk.
    func apply(_ change: NameChange) {
        for effect in change.effects {
            guard let directory = nodes[effect.directory] else { continue }
            if let old = directory.durableEntries[effect.name] {
                nodes[old]?.durableLinks -= 1
                release(old)
            }
            directory.durableEntries[effect.name] = effect.target
            if let target = effect.target { nodes[target]?.durableLinks += 1 }
        }
    }

    // MARK: Life of inodes

    func open(_ number: UInt64) throws(DiskFailure) { try node(number).opened += 1 }

    func close(_ number: UInt64) {
        nodes[number]?.opened -= 1
        release(number)
    }

    /// Gives back the room of an inode that users cannot reach any more, and forgets it if a power loss could not bring it back either.
    private func release(_ number: UInt64) {
        guard let node = nodes[number], node.links == 0, node.opened == 0 else { return }
        if node.takesRoom {
            node.takesRoom = false
            used -= node.content.used
        }
        if node.durableLinks == 0, node.waitingChanges == 0 { nodes[number] = nil }
    }
}
