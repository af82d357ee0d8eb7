import Namespace

/// A file tree: what names there are and where they lead. Small, so sorted arrays.
package struct NameState: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        var parent: UInt64
        var name: String
        var inode: UInt64
    }

    package struct Node: Hashable, Sendable {
        var inode: UInt64
        var kind: FileKind
        /// Names of a file or symlink; of a directory 1.
        var names: UInt32
        /// Of a directory.
        var parent: UInt64
        /// Of a symlink.
        var target: String
    }

    package private(set) var entries: [Entry] = []
    package private(set) var nodes: [Node] = []

    /// Inodes whose ids nobody knows yet have this bit.
    package static let symbolBit: UInt64 = 1 << 63

    /// - Parameter root: the inode of an empty directory.
    package init(root: UInt64) {
        nodes = [Node(inode: root, kind: .directory, names: 1, parent: 0, target: "")]
    }

    // MARK: Looking

    func node(_ inode: UInt64) -> Node? {
        let place = nodePlace(inode)
        return place < nodes.count && nodes[place].inode == inode ? nodes[place] : nil
    }

    private func nodePlace(_ inode: UInt64) -> Int {
        var low = 0
        var high = nodes.count
        while low < high {
            let middle = (low + high) / 2
            if nodes[middle].inode < inode { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func place(_ parent: UInt64, _ name: String) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            let entry = entries[middle]
            if entry.parent < parent || (entry.parent == parent && entry.name < name) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func inode(_ parent: UInt64, _ name: String) -> UInt64? {
        let place = place(parent, name)
        guard place < entries.count, entries[place].parent == parent, entries[place].name == name else { return nil }
        return entries[place].inode
    }

    func children(_ parent: UInt64) -> ArraySlice<Entry> {
        let start = place(parent, "")
        var end = start
        while end < entries.count, entries[end].parent == parent { end += 1 }
        return entries[start..<end]
    }

    func attributes(_ node: Node) -> NameAttributes {
        guard node.kind == .directory else { return NameAttributes(inode: node.inode, kind: node.kind, links: node.names, entries: 0) }
        let children = children(node.inode)
        let directories = children.count { self.node($0.inode)?.kind == .directory }
        return NameAttributes(inode: node.inode, kind: .directory, links: 2 + UInt32(directories), entries: UInt64(children.count))
    }

    /// Whether `inode` is `directory` or above it.
    func isAncestor(_ inode: UInt64, of directory: UInt64) -> Bool {
        var current = directory
        for _ in 0...nodes.count {
            if current == inode { return true }
            guard let node = node(current), node.parent != 0 else { return false }
            current = node.parent
        }
        return false
    }

    // MARK: Changing

    mutating func add(_ inode: UInt64, _ kind: FileKind, parent: UInt64, name: String, target: String) {
        let node = Node(inode: inode, kind: kind, names: 1, parent: kind == .directory ? parent : 0, target: target)
        nodes.insert(node, at: nodePlace(inode))
        entries.insert(Entry(parent: parent, name: name, inode: inode), at: place(parent, name))
    }

    mutating func addName(_ inode: UInt64, parent: UInt64, name: String) {
        change(inode) { $0.names += 1 }
        entries.insert(Entry(parent: parent, name: name, inode: inode), at: place(parent, name))
    }

    /// Removes an entry, and the inode with its last name.
    mutating func remove(parent: UInt64, name: String) {
        guard let inode = inode(parent, name) else { return }
        entries.remove(at: place(parent, name))
        guard let node = node(inode) else { return }
        let place = nodePlace(inode)
        if node.kind == .directory || node.names == 1 { nodes.remove(at: place) } else { nodes[place].names -= 1 }
    }

    /// Moves an entry to a name that is free.
    mutating func move(parent: UInt64, name: String, to newParent: UInt64, _ newName: String) {
        guard let inode = inode(parent, name) else { return }
        entries.remove(at: place(parent, name))
        entries.insert(Entry(parent: newParent, name: newName, inode: inode), at: place(newParent, newName))
        change(inode) { if $0.kind == .directory { $0.parent = newParent } }
    }

    mutating func exchange(parent: UInt64, name: String, with newParent: UInt64, _ newName: String) {
        guard let first = inode(parent, name), let second = inode(newParent, newName) else { return }
        entries[place(parent, name)].inode = second
        entries[place(newParent, newName)].inode = first
        change(first) { if $0.kind == .directory { $0.parent = newParent } }
        change(second) { if $0.kind == .directory { $0.parent = parent } }
    }

    private mutating func change(_ inode: UInt64, _ body: (inout Node) -> Void) {
        let place = nodePlace(inode)
        guard place < nodes.count, nodes[place].inode == inode else { return }
        body(&nodes[place])
    }

    /// The id behind a symbol has become known. False if another file has it.
    mutating func bind(_ symbol: UInt64, to inode: UInt64) -> Bool {
        guard node(inode) == nil, var node = node(symbol) else { return false }
        nodes.remove(at: nodePlace(symbol))
        node.inode = inode
        nodes.insert(node, at: nodePlace(inode))
        for place in nodes.indices where nodes[place].parent == symbol { nodes[place].parent = inode }
        for place in entries.indices {
            if entries[place].inode == symbol { entries[place].inode = inode }
            if entries[place].parent == symbol { entries[place].parent = inode }
        }
        entries.sort { ($0.parent, $0.name) < ($1.parent, $1.name) }
        return true
    }
}
