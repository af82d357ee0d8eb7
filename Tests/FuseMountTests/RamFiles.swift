import Bytes
import CFuse
import Filesystem
import Glibc
import Model
import Namespace
import Runtime
import TestSupport

/// A filesystem in memory, with names on which operations wait until the test lets them go on.
@LoopActor
final class RamFiles: FileOperations {
    final class Node {
        var attributes: Attributes
        var content: [UInt8] = []
        var entries: [[UInt8]: InodeID] = [:]
        var target: [UInt8] = []
        var xattrs: [[UInt8]: [UInt8]] = [:]
        var forgotten: UnsafeContinuation<Void, Never>?
        var lookups: UInt64 = 0

        init(_ attributes: Attributes) { self.attributes = attributes }
    }

    let locks = LocalLocks()
    private static let session = SessionID(rawValue: 1)
    private var lockOwners: [UInt64: Set<LockOwner>] = [:]
    var kernelCache: (any KernelCache)?
    /// What replies say, in nanoseconds.
    var attributesValidity: UInt64 = 0
    var entryValidity: UInt64 = 0
    var keepCache = false
    /// How often each operation was called.
    private(set) var calls: [String: Int] = [:]
    private(set) var openHandles: Set<UInt64> = []
    private var nodes: [InodeID: Node] = [:]
    private var listings: [UInt64: [(name: [UInt8], inode: InodeID, kind: FileKind)]] = [:]
    private var nextInode: UInt64 = 2
    private var nextHandle: UInt64 = 1
    /// Names whose operations wait, and who waits.
    private var gates: Set<[UInt8]> = []
    private var held: [UnsafeContinuation<Void, Never>] = []
    private var heldWaiters: [UnsafeContinuation<Void, Never>] = []

    init() {
        let root = Node(Self.attributes(.root, .directory, 0o755, Caller(uid: 0, gid: 0)))
        root.attributes.links = 2
        nodes[.root] = root
    }

    private static func attributes(_ inode: InodeID, _ kind: FileKind, _ mode: UInt16, _ caller: Caller) -> Attributes {
        let now = wallTime()
        return Attributes(
            inode: inode, kind: kind, mode: mode, uid: caller.uid, gid: caller.gid, links: 1, size: 0, allocated: 0, device: 0,
            accessed: now, modified: now, changed: now, created: now, version: 1, entries: 0, parent: InodeID(rawValue: 0))
    }

    private static func wallTime() -> Timestamp {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Timestamp(now.tv_sec) * 1_000_000_000 + Timestamp(now.tv_nsec)
    }

    // MARK: For tests

    /// Changes of this name wait from now on. "lookup NAME" and "read" hold queries.
    func hold(_ name: String) { gates.insert(Array(name.utf8)) }

    /// Returns when so many operations wait.
    func somebodyHeld(_ count: Int = 1) async {
        while held.count < count { await withUnsafeContinuation { heldWaiters.append($0) } }
    }

    func letGo() {
        gates = []
        let waiting = held
        held = []
        for continuation in waiting { continuation.resume() }
    }

    func inode(_ name: String) -> InodeID? { nodes[.root]?.entries[Array(name.utf8)] }

    /// Another machine's change: the kernel is not told.
    func replaceContent(_ name: String, _ text: String, touches: Bool = true) {
        guard let inode = inode(name), let node = nodes[inode] else { return }
        node.content = Array(text.utf8)
        if touches { touch(node) }
    }

    func renameRemotely(_ name: String, _ newName: String) {
        guard let root = nodes[.root] else { return }
        root.entries[Array(newName.utf8)] = root.entries.removeValue(forKey: Array(name.utf8))
    }

    private func pass(_ name: [UInt8]) async {
        guard gates.contains(name) else { return }
        await withUnsafeContinuation { continuation in
            held.append(continuation)
            let waiting = heldWaiters
            heldWaiters = []
            for waiter in waiting { waiter.resume() }
        }
    }

    private func count(_ name: String) { calls[name, default: 0] += 1 }

    // MARK: Nodes

    private func node(_ inode: InodeID) throws(Errno) -> Node {
        guard let node = nodes[inode] else { throw Errno(rawValue: ESTALE) }
        return node
    }

    private func child(_ parent: InodeID, _ name: [UInt8]) throws(Errno) -> Node {
        guard let inode = try node(parent).entries[name] else { throw Errno(rawValue: ENOENT) }
        return try node(inode)
    }

    private func touch(_ node: Node) {
        node.attributes.size = UInt64(node.attributes.kind == .symlink ? node.target.count : node.content.count)
        node.attributes.allocated = node.attributes.size
        node.attributes.modified = Self.wallTime()
        node.attributes.changed = node.attributes.modified
    }

    private func entry(_ node: Node) -> EntryReply {
        EntryReply(attributes: node.attributes, attributesValidity: attributesValidity, entryValidity: entryValidity)
    }

    private func looked(_ node: Node) -> EntryReply {
        node.lookups += 1
        return entry(node)
    }

    private func make(_ parent: InodeID, _ name: [UInt8], _ kind: FileKind, _ mode: UInt16, _ caller: Caller) async throws(Errno) -> Node {
        await pass(name)
        let directory = try node(parent)
        guard directory.entries[name] == nil else { throw Errno(rawValue: EEXIST) }
        let inode = InodeID(rawValue: nextInode)
        nextInode += 1
        let node = Node(Self.attributes(inode, kind, kind == .symlink ? mode : mode & ~caller.umask, caller))
        if kind == .directory {
            node.attributes.links = 2
            node.attributes.parent = parent
            directory.attributes.links += 1
        }
        nodes[inode] = node
        directory.entries[name] = inode
        touch(directory)
        return node
    }

    private func drop(_ node: Node) {
        if node.attributes.links == 0 && node.lookups == 0 { nodes[node.attributes.inode] = nil }
    }

    // MARK: Names

    func absenceValidity(_ parent: InodeID, _ name: [UInt8]) -> UInt64 { entryValidity }

    func lookup(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply {
        count("lookup")
        await pass(Array("lookup ".utf8) + name)
        return looked(try child(parent, name))
    }

    func forget(_ inode: InodeID, count: UInt64) {
        guard let node = nodes[inode] else { return }
        node.lookups -= min(count, node.lookups)
        if node.lookups == 0 {
            node.forgotten?.resume()
            node.forgotten = nil
        }
        drop(node)
    }

    /// Returns when the kernel has forgotten the inode of a name.
    func forgot(_ name: String) async {
        guard let inode = inode(name), let node = nodes[inode], node.lookups > 0 else { return }
        await withUnsafeContinuation { node.forgotten = $0 }
    }

    func isKnown(_ name: String) -> Bool { inode(name).flatMap { nodes[$0] }.map { $0.lookups > 0 } ?? false }

    func retain(_ inode: InodeID) { nodes[inode]?.lookups += 1 }

    func makeSymlink(_ parent: InodeID, _ name: [UInt8], target: [UInt8], _ caller: Caller) async throws(Errno) -> EntryReply {
        let node = try await make(parent, name, .symlink, 0o777, caller)
        node.target = target
        touch(node)
        return looked(node)
    }

    func readSymlink(_ inode: InodeID) async throws(Errno) -> [UInt8] { try node(inode).target }

    func makeNode(
        _ parent: InodeID, _ name: [UInt8], kind: FileKind, mode: UInt16, device: UInt32, _ caller: Caller
    ) async throws(Errno) -> EntryReply {
        let node = try await make(parent, name, kind, mode, caller)
        node.attributes.device = device
        return looked(node)
    }

    func makeDirectory(_ parent: InodeID, _ name: [UInt8], mode: UInt16, _ caller: Caller) async throws(Errno) -> EntryReply {
        looked(try await make(parent, name, .directory, mode, caller))
    }

    func unlink(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) {
        await pass(name)
        let node = try child(parent, name)
        guard node.attributes.kind != .directory else { throw Errno(rawValue: EISDIR) }
        try self.node(parent).entries[name] = nil
        node.attributes.links -= 1
        drop(node)
    }

    func removeDirectory(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) {
        let node = try child(parent, name)
        guard node.attributes.kind == .directory else { throw Errno(rawValue: ENOTDIR) }
        guard node.entries.isEmpty else { throw Errno(rawValue: ENOTEMPTY) }
        let directory = try self.node(parent)
        directory.entries[name] = nil
        directory.attributes.links -= 1
        node.attributes.links = 0
        drop(node)
    }

    func rename(_ parent: InodeID, _ name: [UInt8], to newParent: InodeID, _ newName: [UInt8], mode: RenameMode) async throws(Errno) {
        let moved = try child(parent, name)
        let (source, target) = (try node(parent), try node(newParent))
        let other = target.entries[newName]
        switch mode {
        case .noReplace where other != nil: throw Errno(rawValue: EEXIST)
        case .exchange:
            guard let other else { throw Errno(rawValue: ENOENT) }
            source.entries[name] = other
        default:
            if let other, let node = nodes[other] {
                guard node.entries.isEmpty else { throw Errno(rawValue: ENOTEMPTY) }
                node.attributes.links = node.attributes.kind == .directory ? 0 : node.attributes.links - 1
            }
            source.entries[name] = nil
        }
        target.entries[newName] = moved.attributes.inode
    }

    func link(_ inode: InodeID, to parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply {
        let node = try node(inode)
        guard try self.node(parent).entries.updateValue(inode, forKey: name) == nil else { throw Errno(rawValue: EEXIST) }
        node.attributes.links += 1
        return looked(node)
    }

    // MARK: Attributes

    func attributesForReader(_ inode: InodeID) async throws(Errno) -> AttributesReply { try await attributes(inode) }

    func attributes(_ inode: InodeID) async throws(Errno) -> AttributesReply {
        count("attributes")
        return AttributesReply(attributes: try node(inode).attributes, validity: attributesValidity)
    }

    func setAttributes(_ inode: InodeID, _ change: AttributeChange, size: UInt64?, handle: UInt64?) async throws(Errno) -> AttributesReply {
        let node = try node(inode)
        if let size { resize(node, Int(size)) }
        if let mode = change.mode { node.attributes.mode = mode }
        if let uid = change.uid { node.attributes.uid = uid }
        if let gid = change.gid { node.attributes.gid = gid }
        if let accessed = change.accessed { node.attributes.accessed = accessed }
        if let modified = change.modified { node.attributes.modified = modified }
        return AttributesReply(attributes: node.attributes, validity: attributesValidity)
    }

    private func resize(_ node: Node, _ size: Int) {
        if size < node.content.count { node.content.removeLast(node.content.count - size) }
        if size > node.content.count { node.content += [UInt8](repeating: 0, count: size - node.content.count) }
        touch(node)
    }

    func statistics() async throws(Errno) -> FilesystemStatistics {
        FilesystemStatistics(blockSize: 4096, totalBytes: 1 << 40, freeBytes: 1 << 39, inodes: UInt64(nodes.count))
    }

    func setXattr(_ inode: InodeID, name: [UInt8], value: [UInt8], mode: XattrMode, groups: [UInt32]?) async throws(Errno) {
        let node = try node(inode)
        if mode == .create && node.xattrs[name] != nil { throw Errno(rawValue: EEXIST) }
        if mode == .replace && node.xattrs[name] == nil { throw Errno(rawValue: ENODATA) }
        node.xattrs[name] = value
    }

    func xattr(_ inode: InodeID, name: [UInt8]) async throws(Errno) -> [UInt8] {
        count("xattr")
        guard let value = try node(inode).xattrs[name] else { throw Errno(rawValue: ENODATA) }
        return value
    }

    func xattrNames(_ inode: InodeID) async throws(Errno) -> [[UInt8]] {
        try node(inode).xattrs.keys.sorted { $0.lexicographicallyPrecedes($1) }
    }

    func removeXattr(_ inode: InodeID, name: [UInt8]) async throws(Errno) {
        guard try node(inode).xattrs.removeValue(forKey: name) != nil else { throw Errno(rawValue: ENODATA) }
    }

    // MARK: Content

    private func handle() -> UInt64 {
        nextHandle += 1
        openHandles.insert(nextHandle)
        return nextHandle
    }

    func open(_ inode: InodeID, flags: Int32) async throws(Errno) -> OpenReply {
        count("open")
        let node = try node(inode)
        if flags & O_TRUNC != 0 { resize(node, 0) }
        return OpenReply(handle: handle(), keepCache: keepCache, direct: false)
    }

    func setFlags(_ inode: InodeID, handle: UInt64, flags: Int32) {}
    func mayHavePrivileges(_ inode: InodeID, handle: UInt64) -> Bool { true }
    func dropPrivileges(_ inode: InodeID, _ changer: Changer) async throws(Errno) {
        let node = try node(inode)
        node.attributes.mode = changer.mode(node.attributes.mode, gid: node.attributes.gid)
    }

    func create(
        _ parent: InodeID, _ name: [UInt8], mode: UInt16, flags: Int32, _ caller: Caller
    ) async throws(Errno) -> (EntryReply, OpenReply) {
        let node = try await make(parent, name, .file, mode, caller)
        return (looked(node), OpenReply(handle: handle(), keepCache: keepCache, direct: false))
    }

    func createTemporary(_ parent: InodeID, mode: UInt16, flags: Int32, _ caller: Caller) async throws(Errno) -> (EntryReply, OpenReply) {
        await pass(Array("temporary".utf8))
        _ = try node(parent)
        let inode = InodeID(rawValue: nextInode)
        nextInode += 1
        let node = Node(Self.attributes(inode, .file, mode & ~caller.umask, caller))
        node.attributes.links = 0
        nodes[inode] = node
        return (looked(node), OpenReply(handle: handle(), keepCache: keepCache, direct: false))
    }

    func read(_ inode: InodeID, handle: UInt64, offset: UInt64, count: Int) async throws(Errno) -> [Slice] {
        self.count("read")
        let node = try node(inode)
        await pass(Array("read".utf8))
        guard offset < node.content.count else { return [] }
        let range = Int(offset)..<min(node.content.count, Int(offset) + count)
        // Two parts, so that a reply of several is tried.
        let middle = range.lowerBound + range.count / 3
        return node.content.withUnsafeBytes { bytes in
            [range.lowerBound..<middle, middle..<range.upperBound].map {
                BufferPool.shared.buffer(copying: UnsafeRawBufferPointer(rebasing: bytes[$0])).slice
            }
        }
    }

    func write(_ inode: InodeID, handle: UInt64, offset: UInt64, _ content: Slice) async throws(Errno) -> Int {
        count("write")
        let node = try node(inode)
        let end = Int(offset) + content.count
        if node.content.count < end { node.content += [UInt8](repeating: 0, count: end - node.content.count) }
        node.content.withUnsafeMutableBytes { bytes in
            content.withBytes { UnsafeMutableRawBufferPointer(rebasing: bytes[Int(offset)..<end]).copyMemory(from: $0) }
        }
        touch(node)
        return content.count
    }

    func flush(_ inode: InodeID, handle: UInt64) async throws(Errno) { count("flush") }
    func release(_ inode: InodeID, handle: UInt64) async {
        openHandles.remove(handle)
        for owner in lockOwners.removeValue(forKey: handle) ?? [] {
            _ = await locks.set(Self.session, inode, FileLock(owner, process: 0, whole: nil), waits: false, interrupt: nil)
        }
    }
    func closeLocks(_ inode: InodeID, owner: UInt64) async {
        let owner = LockOwner(.posix, owner)
        for handle in lockOwners.keys { lockOwners[handle]?.remove(owner) }
        _ = await locks.set(Self.session, inode, FileLock(owner, process: 0, whole: nil), waits: false, interrupt: nil)
    }

    func setLock(_ inode: InodeID, handle: UInt64, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async throws(Errno) {
        count(lock.mode == nil ? "unlock" : "lock")
        if lock.mode != nil { lockOwners[handle, default: []].insert(lock.owner) }
        switch await locks.set(Self.session, inode, lock, waits: waits, interrupt: interrupt) {
        case .granted: return
        case .conflict, .waits: throw .again
        case .deadlock: throw .deadlock
        case .exhausted: throw .noLocks
        case nil: throw .interrupted
        }
    }

    func testLock(_ inode: InodeID, handle: UInt64, _ lock: FileLock) async throws(Errno) -> FileLock? { locks.test(Self.session, inode, lock) }

    func sync(_ inode: InodeID, handle: UInt64, dataOnly: Bool) async throws(Errno) { count(dataOnly ? "fdatasync" : "fsync") }

    func allocate(_ inode: InodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) async throws(Errno) {
        guard mode == 0 else { throw Errno(rawValue: EOPNOTSUPP) }
        let node = try node(inode)
        resize(node, max(node.content.count, Int(offset + length)))
    }

    func seek(_ inode: InodeID, handle: UInt64, offset: UInt64, whence: Int32) async throws(Errno) -> UInt64 {
        let size = try node(inode).attributes.size
        guard offset < size else { throw Errno(rawValue: ENXIO) }
        return whence == 3 ? offset : size
    }

    func copyRange(
        from source: InodeID, handle: UInt64, offset: UInt64, to target: InodeID, targetHandle: UInt64, targetOffset: UInt64, count: Int
    ) async throws(Errno) -> Int {
        self.count("copyRange")
        let from = try node(source).content.dropFirst(Int(offset)).prefix(count)
        return try await write(target, handle: targetHandle, offset: targetOffset, Slice(copying: from))
    }

    // MARK: Directories

    func openDirectory(_ inode: InodeID) async throws(Errno) -> UInt64 {
        let node = try node(inode)
        var list: [(name: [UInt8], inode: InodeID, kind: FileKind)] = [([0x2E], inode, .directory), ([0x2E, 0x2E], inode, .directory)]
        for (name, child) in node.entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            list.append((name, child, nodes[child]?.attributes.kind ?? .file))
        }
        let handle = handle()
        listings[handle] = list
        return handle
    }

    func readDirectory(_ inode: InodeID, handle: UInt64, position: UInt64, plus: Bool) async throws(Errno) -> [DirectoryItem] {
        count(plus ? "readdirplus" : "readdir")
        guard let list = listings[handle] else { throw Errno(rawValue: EBADF) }
        return list.dropFirst(Int(position)).prefix(500).enumerated().map { index, item in
            // Every seventh entry comes without attributes.
            let known = plus && index % 7 != 0 ? nodes[item.inode].map { entry($0) } : nil
            return DirectoryItem(name: item.name, inode: item.inode, kind: item.kind, next: position + UInt64(index) + 1, entry: known)
        }
    }

    func releaseDirectory(_ inode: InodeID, handle: UInt64) async {
        openHandles.remove(handle)
        listings[handle] = nil
    }

    func syncDirectory(_ inode: InodeID) async throws(Errno) { count("fsyncdir") }
    func syncAll() async throws(Errno) { count("syncAll") }
}
