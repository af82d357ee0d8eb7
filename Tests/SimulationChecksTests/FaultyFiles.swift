import Bytes
import Filesystem
import Glibc
import Model
import Namespace
import Runtime
import TestSupport

/// A mount with a fault to order, with calls that take time, and that can be killed.
@LoopActor
final class FaultyFiles: FileOperations {
    enum Fault: String, CaseIterable {
        /// A write is acknowledged and not made.
        case lostWrite
        /// A read returns what the same range had before.
        case staleRead
        /// Bytes of a read are turned over.
        case wrongBytes
        /// Bytes of another file, or of another place, are returned.
        case misplacedRead
        /// A write with O_APPEND is carried out twice.
        case doubleAppend
        /// A sync is acknowledged and not made; the client is killed later.
        case lostSync
        /// A name is acknowledged and not removed.
        case keptName
        /// A name is removed, and the caller told that it was not there: as if the command was carried out twice.
        case removedTwice
        /// A listing lacks a name.
        case shortListing
        /// The link count is wrong.
        case wrongLinks
        /// A file is given the inode id of an earlier one.
        case reusedInode
        /// A rename over a name removes it first, and a reader may come between.
        case halfRename
        /// A rename puts a cut file in place.
        case cutRename
        /// A file without a name is gone although it is open.
        case lostOrphan
        /// chmod(2) and the like are acknowledged and not made.
        case lostAttribute
        /// An extended attribute is acknowledged and not made.
        case lostXattr
        /// rmdir(2) of a full directory says that it is not there.
        case wrongErrno
        /// A lock is acknowledged and not taken.
        case lostLock
        /// A sync after a loss says that all is well.
        case silentLoss
    }

    private let files: any FileOperations
    private let clock: any Clock
    private let random: SeededRandom
    /// What goes wrong, once in `rarity` calls.
    var fault: Fault?
    var rarity = 8
    /// Nanoseconds that a call takes at most, beyond what it takes.
    var latency: UInt64 = 0
    private(set) var happened = 0
    private(set) var isKilled = false
    private var earlier: [InodeID: [UInt64: [Slice]]] = [:]
    private var aliases: [InodeID] = []
    private var appending: Set<UInt64> = []

    init(_ files: any FileOperations, clock: any Clock, random: SeededRandom) {
        self.files = files
        self.clock = clock
        self.random = random
    }

    /// Calls that have not returned never do.
    func kill() { isKilled = true }

    private func strikes(_ fault: Fault) -> Bool {
        guard self.fault == fault, random.below(rarity) == 0 else { return false }
        happened += 1
        return true
    }

    private func pause() async {
        if latency > 0 { await clock.sleep(nanoseconds: UInt64(random.below(Int(latency)))) }
        if isKilled { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
    }

    private func call<Value>(_ body: () async throws(Errno) -> Value) async throws(Errno) -> Value {
        await pause()
        let result: Result<Value, Errno>
        do throws(Errno) { result = .success(try await body()) } catch { result = .failure(error) }
        await pause()
        return try result.get()
    }

    private func entry(_ entry: EntryReply) -> EntryReply {
        guard strikes(.wrongLinks) else { return entry }
        var wrong = entry
        wrong.attributes.links += 1
        return wrong
    }

    // MARK: Names

    func absenceValidity(_ parent: InodeID, _ name: [UInt8]) -> UInt64 { files.absenceValidity(parent, name) }

    func lookup(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply {
        try await call { () async throws(Errno) in self.entry(try await self.files.lookup(parent, name)) }
    }

    func forget(_ inode: InodeID, count: UInt64) { files.forget(inode, count: count) }

    func attributes(_ inode: InodeID) async throws(Errno) -> AttributesReply {
        try await call { () async throws(Errno) in try await self.files.attributes(inode) }
    }

    func attributesForReader(_ inode: InodeID) async throws(Errno) -> AttributesReply { try await attributes(inode) }

    func setAttributes(_ inode: InodeID, _ change: AttributeChange, size: UInt64?, handle: UInt64?) async throws(Errno) -> AttributesReply {
        try await call { () async throws(Errno) in
            guard size == nil, self.strikes(.lostAttribute) else {
                return try await self.files.setAttributes(inode, change, size: size, handle: handle)
            }
            var reply = try await self.files.attributes(inode)
            reply.attributes.mode = change.mode ?? reply.attributes.mode
            reply.attributes.uid = change.uid ?? reply.attributes.uid
            reply.attributes.gid = change.gid ?? reply.attributes.gid
            reply.attributes.modified = change.modified ?? reply.attributes.modified
            reply.attributes.accessed = change.accessed ?? reply.attributes.accessed
            return reply
        }
    }

    func setLock(_ inode: InodeID, handle: UInt64, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async throws(Errno) {
        try await call { () async throws(Errno) in
            if lock.mode != nil, self.strikes(.lostLock) { return }
            try await self.files.setLock(inode, handle: handle, lock, waits: waits, interrupt: interrupt)
        }
    }

    func testLock(_ inode: InodeID, handle: UInt64, _ lock: FileLock) async throws(Errno) -> FileLock? {
        try await call { () async throws(Errno) in try await self.files.testLock(inode, handle: handle, lock) }
    }

    func closeLocks(_ inode: InodeID, owner: UInt64) async { await files.closeLocks(inode, owner: owner) }

    func readSymlink(_ inode: InodeID) async throws(Errno) -> [UInt8] {
        try await call { () async throws(Errno) in try await self.files.readSymlink(inode) }
    }

    func makeSymlink(_ parent: InodeID, _ name: [UInt8], target: [UInt8], _ caller: Caller) async throws(Errno) -> EntryReply {
        try await call { () async throws(Errno) in self.entry(try await self.files.makeSymlink(parent, name, target: target, caller)) }
    }

    func makeNode(
        _ parent: InodeID, _ name: [UInt8], kind: FileKind, mode: UInt16, device: UInt32, _ caller: Caller
    ) async throws(Errno) -> EntryReply {
        try await call { () async throws(Errno) in
            try await self.files.makeNode(parent, name, kind: kind, mode: mode, device: device, caller)
        }
    }

    func makeDirectory(_ parent: InodeID, _ name: [UInt8], mode: UInt16, _ caller: Caller) async throws(Errno) -> EntryReply {
        try await call { () async throws(Errno) in self.entry(try await self.files.makeDirectory(parent, name, mode: mode, caller)) }
    }

    func unlink(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) {
        try await call { () async throws(Errno) in
            if self.strikes(.keptName) { return }
            try await self.files.unlink(parent, name)
            if self.strikes(.removedTwice) { throw .notFound }
        }
    }

    func removeDirectory(_ parent: InodeID, _ name: [UInt8]) async throws(Errno) {
        try await call { () async throws(Errno) in
            do throws(Errno) { try await self.files.removeDirectory(parent, name) } catch {
                if error == .notEmpty, self.strikes(.wrongErrno) { throw .notFound }
                throw error
            }
        }
    }

    func rename(_ parent: InodeID, _ name: [UInt8], to newParent: InodeID, _ newName: [UInt8], mode: RenameMode) async throws(Errno) {
        try await call { () async throws(Errno) in
            if mode == .replace, self.strikes(.halfRename) {
                try? await self.files.unlink(newParent, newName)
                await self.clock.sleep(nanoseconds: 3 * Nanoseconds.second)
            }
            if mode == .replace, self.strikes(.cutRename), let entry = try? await self.files.lookup(parent, name), entry.attributes.size > 16 {
                _ = try? await self.files.setAttributes(
                    entry.attributes.inode, AttributeChange(), size: entry.attributes.size / 32 * 16, handle: nil)
            }
            try await self.files.rename(parent, name, to: newParent, newName, mode: mode)
        }
    }

    func link(_ inode: InodeID, to parent: InodeID, _ name: [UInt8]) async throws(Errno) -> EntryReply {
        try await call { () async throws(Errno) in self.entry(try await self.files.link(inode, to: parent, name)) }
    }

    // MARK: Content

    func open(_ inode: InodeID, flags: Int32) async throws(Errno) -> OpenReply {
        try await call { () async throws(Errno) in try await self.files.open(inode, flags: flags) }
    }

    func mayHavePrivileges(_ inode: InodeID, handle: UInt64) -> Bool { files.mayHavePrivileges(inode, handle: handle) }
    func dropPrivileges(_ inode: InodeID, _ changer: Changer) async throws(Errno) {
        try await call { () async throws(Errno) in try await self.files.dropPrivileges(inode, changer) }
    }

    func createTemporary(_ parent: InodeID, mode: UInt16, flags: Int32, _ caller: Caller) async throws(Errno) -> (EntryReply, OpenReply) {
        try await call { () async throws(Errno) in
            let (entry, open) = try await self.files.createTemporary(parent, mode: mode, flags: flags, caller)
            return (self.entry(entry), open)
        }
    }

    func setFlags(_ inode: InodeID, handle: UInt64, flags: Int32) { files.setFlags(inode, handle: handle, flags: flags) }

    func create(
        _ parent: InodeID, _ name: [UInt8], mode: UInt16, flags: Int32, _ caller: Caller
    ) async throws(Errno) -> (EntryReply, OpenReply) {
        try await call { () async throws(Errno) in
            var (entry, open) = try await self.files.create(parent, name, mode: mode, flags: flags, caller)
            if flags & O_APPEND != 0 { self.appending.insert(open.handle) }
            let inode = entry.attributes.inode
            if let other = self.aliases.last, other != inode, self.strikes(.reusedInode) { entry.attributes.inode = other }
            self.aliases.append(inode)
            return (self.entry(entry), open)
        }
    }

    func read(_ inode: InodeID, handle: UInt64, offset: UInt64, count: Int) async throws(Errno) -> [Slice] {
        try await call { () async throws(Errno) in
            if self.fault == .lostOrphan, let attributes = try? await self.files.attributes(inode).attributes, attributes.links == 0 {
                self.happened += 1
                throw .stale
            }
            let slices = try await self.files.read(inode, handle: handle, offset: offset, count: count)
            let old = self.earlier[inode]?[offset]
            self.earlier[inode, default: [:]][offset] = slices
            let bytes = slices.flatMap(\.array)
            if let old, old.flatMap(\.array) != bytes, self.strikes(.staleRead) {
                self.earlier[inode]?[offset] = old
                return old
            }
            if bytes.contains(where: { $0 != 0 }), self.strikes(.wrongBytes) { return [Slice(copying: bytes.map { $0 ^ 0x55 })] }
            if bytes.count > 32, bytes.prefix(16) != bytes.dropFirst(16).prefix(16), self.strikes(.misplacedRead) {
                return [Slice(copying: bytes[16..<32] + bytes[0..<16] + bytes[32...])]
            }
            return slices
        }
    }

    func write(_ inode: InodeID, handle: UInt64, offset: UInt64, _ content: Slice) async throws(Errno) -> Int {
        try await call { () async throws(Errno) in
            if self.strikes(.lostWrite) { return content.count }
            if self.appending.contains(handle), self.strikes(.doubleAppend) {
                _ = try await self.files.write(inode, handle: handle, offset: offset, content)
            }
            return try await self.files.write(inode, handle: handle, offset: offset, content)
        }
    }

    func flush(_ inode: InodeID, handle: UInt64) async throws(Errno) {
        if fault == .silentLoss {
            try? await files.flush(inode, handle: handle)
            return
        }
        try await call { () async throws(Errno) in try await self.files.flush(inode, handle: handle) }
    }

    func release(_ inode: InodeID, handle: UInt64) async { await files.release(inode, handle: handle) }

    func sync(_ inode: InodeID, handle: UInt64, dataOnly: Bool) async throws(Errno) {
        try await call { () async throws(Errno) in
            if self.strikes(.lostSync) { return }
            do throws(Errno) { try await self.files.sync(inode, handle: handle, dataOnly: dataOnly) } catch {
                guard self.fault == .silentLoss else { throw error }
                self.happened += 1
            }
        }
    }

    func allocate(_ inode: InodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) async throws(Errno) {
        try await call { () async throws(Errno) in
            try await self.files.allocate(inode, handle: handle, mode: mode, offset: offset, length: length)
        }
    }

    func seek(_ inode: InodeID, handle: UInt64, offset: UInt64, whence: Int32) async throws(Errno) -> UInt64 {
        try await call { () async throws(Errno) in try await self.files.seek(inode, handle: handle, offset: offset, whence: whence) }
    }

    func copyRange(
        from source: InodeID, handle: UInt64, offset: UInt64, to target: InodeID, targetHandle: UInt64, targetOffset: UInt64, count: Int
    ) async throws(Errno) -> Int {
        try await call { () async throws(Errno) in
            try await self.files.copyRange(
                from: source, handle: handle, offset: offset, to: target, targetHandle: targetHandle, targetOffset: targetOffset, count: count)
        }
    }

    // MARK: Directories

    func openDirectory(_ inode: InodeID) async throws(Errno) -> UInt64 {
        try await call { () async throws(Errno) in try await self.files.openDirectory(inode) }
    }

    func readDirectory(_ inode: InodeID, handle: UInt64, position: UInt64, plus: Bool) async throws(Errno) -> [DirectoryItem] {
        try await call { () async throws(Errno) in
            var items = try await self.files.readDirectory(inode, handle: handle, position: position, plus: plus)
            if items.count > 3, self.strikes(.shortListing) { items.remove(at: 2) }
            return items
        }
    }

    func retain(_ inode: InodeID) { files.retain(inode) }
    func releaseDirectory(_ inode: InodeID, handle: UInt64) async { await files.releaseDirectory(inode, handle: handle) }

    func syncDirectory(_ inode: InodeID) async throws(Errno) {
        try await call { () async throws(Errno) in try await self.files.syncDirectory(inode) }
    }

    // MARK: The rest

    func statistics() async throws(Errno) -> FilesystemStatistics {
        try await call { () async throws(Errno) in try await self.files.statistics() }
    }

    func setXattr(_ inode: InodeID, name: [UInt8], value: [UInt8], mode: XattrMode, groups: [UInt32]?) async throws(Errno) {
        try await call { () async throws(Errno) in
            if mode == .any, self.strikes(.lostXattr) { return }
            try await self.files.setXattr(inode, name: name, value: value, mode: mode, groups: groups)
        }
    }

    func xattr(_ inode: InodeID, name: [UInt8]) async throws(Errno) -> [UInt8] {
        try await call { () async throws(Errno) in try await self.files.xattr(inode, name: name) }
    }

    func xattrNames(_ inode: InodeID) async throws(Errno) -> [[UInt8]] {
        try await call { () async throws(Errno) in try await self.files.xattrNames(inode) }
    }

    func removeXattr(_ inode: InodeID, name: [UInt8]) async throws(Errno) {
        try await call { () async throws(Errno) in try await self.files.removeXattr(inode, name: name) }
    }

    func syncAll() async throws(Errno) {
        if strikes(.lostSync) { return }
        try await call { () async throws(Errno) in try await self.files.syncAll() }
    }

    var kernelCache: (any KernelCache)? {
        get { files.kernelCache }
        set { files.kernelCache = newValue }
    }
}
