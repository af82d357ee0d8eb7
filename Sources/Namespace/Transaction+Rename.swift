import Model
import OrderedStore

/// rename(2), renameat2(2). Checks come in the order in which Linux makes them.
extension Transaction {
    func rename(from: InodeID, name: Name, to: InodeID, newName: Name, mode: RenameMode, keep: Bool) throws(Failure) -> Outcome {
        let source = try directory(from)
        let target = from == to ? source : try directory(to)
        guard let entry = try entry(from, name) else { throw .refused(.notFound) }
        let present = try self.entry(to, newName)
        if mode == .noReplace, present != nil { throw .refused(.exists) }
        if mode == .exchange, present == nil { throw .refused(.notFound) }

        if from != to {
            if entry.kind == .directory, try isAncestor(entry.inode, of: target) { throw .refused(.loop) }
            if let present, present.kind == .directory, try isAncestor(present.inode, of: source) {
                throw .refused(mode == .exchange ? .loop : .notEmpty)
            }
        }
        let moved = try inode(of: entry)
        let parents = Parents(source: source, target: from == to ? nil : target)
        // "If oldpath and newpath are existing hard links referring to the same file, then rename() does nothing."
        if let present, present.inode == entry.inode {
            return .renamed(moved: moved.attributes, other: moved.attributes, orphaned: false, parents: parents.attributes)
        }
        if mode == .exchange, let present {
            return try exchange(moved, name, with: try inode(of: present), newName, parents)
        }
        return try move(moved, name, newName, replacing: present, keep: keep, parents)
    }

    /// The directories of a rename; one if both names are in the same.
    private struct Parents {
        var source: InodeRecord
        var target: InodeRecord?

        var attributes: [Attributes] { [source.attributes] + (target.map { [$0.attributes] } ?? []) }

        /// Changes the directory that the new name is in.
        mutating func withTarget(_ body: (inout InodeRecord) throws(Failure) -> Void) throws(Failure) {
            guard var record = target else { return try body(&source) }
            try body(&record)
            target = record
        }
    }

    private func move(
        _ moved: InodeRecord, _ name: Name, _ newName: Name, replacing present: EntryRecord?, keep: Bool, _ parents: Parents
    ) throws(Failure) -> Outcome {
        var moved = moved
        var parents = parents
        var other: InodeRecord?
        if let present {
            let replaced = try inode(of: present)
            if moved.attributes.kind == .directory {
                guard present.kind == .directory else { throw .refused(.notDirectory) }
                guard replaced.attributes.entries == 0 else { throw .refused(.notEmpty) }
            } else {
                guard present.kind != .directory else { throw .refused(.isDirectory) }
            }
            other = replaced
        }
        let source = parents.source.attributes.inode
        deleteEntry(source, name)
        try detach(moved.attributes, from: &parents.source)
        if let other { try parents.withTarget { target throws(Failure) in try detach(other.attributes, from: &target) } }
        if let target = parents.target, moved.attributes.kind == .directory { moved.attributes.parent = target.attributes.inode }
        moved.attributes.change(at: shown)
        put(moved)
        try parents.withTarget { target throws(Failure) in try attach(moved.attributes, to: &target, newName) }
        write(parents)
        var orphaned = false
        if var replaced = other {
            orphaned = try dropLink(&replaced, keep: keep)
            other = replaced
        }
        return .renamed(moved: moved.attributes, other: other?.attributes, orphaned: orphaned, parents: parents.attributes)
    }

    private func exchange(
        _ first: InodeRecord, _ name: Name, with second: InodeRecord, _ newName: Name, _ parents: Parents
    ) throws(Failure) -> Outcome {
        var first = first
        var second = second
        var parents = parents
        let source = parents.source.attributes.inode
        let target = (parents.target ?? parents.source).attributes.inode
        first.attributes.change(at: shown)
        second.attributes.change(at: shown)
        if first.attributes.kind == .directory { first.attributes.parent = target }
        if second.attributes.kind == .directory { second.attributes.parent = source }
        try detach(first.attributes, from: &parents.source)
        try parents.withTarget { directory throws(Failure) in
            try detach(second.attributes, from: &directory)
            try attach(first.attributes, to: &directory, newName)
        }
        try attach(second.attributes, to: &parents.source, name)
        put(first)
        put(second)
        write(parents)
        return .renamed(moved: first.attributes, other: second.attributes, orphaned: false, parents: parents.attributes)
    }

    private func write(_ parents: Parents) {
        put(parents.source)
        if let target = parents.target { put(target) }
    }

    /// Whether `inode` is `directory` or on its way to the root.
    private func isAncestor(_ inode: InodeID, of directory: InodeRecord) throws(Failure) -> Bool {
        var current = directory.attributes
        var steps: UInt64 = 0
        while current.inode != inode {
            guard current.inode != .root else { return false }
            steps += 1
            guard steps <= state.inodes, let parent: InodeRecord = try value(RowKey.inode(current.parent)) else {
                throw .store(StoreError(.corrupt, "directory \(current.inode) leads to no root"))
            }
            current = parent.attributes
        }
        return true
    }
}
