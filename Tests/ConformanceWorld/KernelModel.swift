import Bytes
import Conformance
import Filesystem
import Glibc
import Model
import Namespace
import Runtime

/// What Linux does above a FUSE filesystem with default_permissions (fs/namei.c, fs/open.c, fs/attr.c, fs/xattr.c, fs/fuse), as far as the cases see it.
@LoopActor
final class KernelModel {
    let files: any FileOperations
    let clock: any Clock
    var base = InodeID.root
    var mask: UInt32 = 0
    var descriptors: [OpenDescriptor?] = []

    init(_ files: any FileOperations, clock: any Clock) {
        self.files = files
        self.clock = clock
    }

    func perform(_ call: Call, as user: User) async -> Returned {
        do {
            if let answer = try await onNames(call, user) { return answer }
            if let answer = try await onFiles(call, user) { return answer }
            if let answer = try await onAttributes(call, user) { return answer }
            return .failed(ENOSYS)
        } catch {
            return .failed((error as? Errno)?.rawValue ?? EIO)
        }
    }

    func enter(_ name: [UInt8]) async -> Returned {
        do {
            var directory = InodeID.root
            for part in name.split(separator: 0x2F) { directory = try await files.lookup(directory, Array(part)).attributes.inode }
            base = directory
            return .number(0)
        } catch { return .failed(error.rawValue) }
    }

    func leave() async {
        for number in descriptors.indices { _ = try? await close(number) }
        descriptors = []
        base = .root
        mask = 0
    }

    func fail(_ code: Int32) -> Errno { Errno(rawValue: code) }

    // MARK: Permissions

    static let read: UInt16 = 4
    static let write: UInt16 = 2
    static let search: UInt16 = 1

    /// generic_permission.
    func may(_ user: User, _ wanted: UInt16, _ attributes: Attributes) async throws -> Bool {
        if user.isRoot { return wanted & Self.search == 0 || attributes.kind == .directory || attributes.mode & 0o111 != 0 }
        if user.uid != attributes.uid, attributes.mode & 0o070 != 0, let list = try await list(attributes) { return list.grants(wanted, to: user, of: attributes) }
        let shift: UInt16 = user.uid == attributes.uid ? 6 : user.belongs(to: attributes.gid) ? 3 : 0
        return attributes.mode >> shift & wanted == wanted
    }

    private func list(_ attributes: Attributes) async throws -> ListEntries? {
        do throws(Errno) {
            return ListEntries(try await files.xattr(attributes.inode, name: Array("system.posix_acl_access".utf8)))
        } catch {
            guard error.rawValue == ENODATA else { throw error }
            return nil
        }
    }

    func attributes(_ inode: InodeID) async throws -> Attributes { try await files.attributes(inode).attributes }

    /// may_create: a directory that is still there and may be changed.
    func mayCreate(_ directory: InodeID, _ user: User) async throws {
        let attributes = try await attributes(directory)
        guard attributes.links > 0 else { throw fail(ENOENT) }
        guard try await may(user, Self.write | Self.search, attributes) else { throw fail(EACCES) }
    }

    /// may_delete.
    func mayDelete(_ directory: InodeID, _ victim: Attributes, _ user: User, isDirectory: Bool) async throws {
        let attributes = try await attributes(directory)
        guard try await may(user, Self.write | Self.search, attributes) else { throw fail(EACCES) }
        if attributes.mode & 0o1000 != 0, !user.isRoot, user.uid != victim.uid, user.uid != attributes.uid { throw fail(EPERM) }
        if isDirectory != (victim.kind == .directory) { throw fail(isDirectory ? ENOTDIR : EISDIR) }
    }

    /// A mode as it arrives at the filesystem: without set-gid where a set-gid directory of a foreign group would give it
    /// (mode_strip_sgid).
    func prepared(_ mode: UInt32, in directory: InodeID, _ user: User) async throws -> UInt16 {
        let mode = UInt16(truncatingIfNeeded: mode & 0o7777)
        let parent = try await attributes(directory)
        guard mode & 0o2010 == 0o2010, parent.mode & 0o2000 != 0, !user.isRoot, !user.belongs(to: parent.gid) else { return mode }
        return mode & ~0o2000
    }

    /// Has set-id bits and capabilities of a file taken away, as the kernel leaves it to the filesystem (FUSE_HANDLE_KILLPRIV_V2).
    func dropPrivileges(_ inode: InodeID, _ user: User, changesOwner: Bool = false) async throws {
        let changer = Changer(keepsSetID: user.isRoot && !changesOwner) { user.isRoot || user.belongs(to: $0) }
        try await files.dropPrivileges(inode, changer)
    }

    // MARK: Descriptors

    func descriptor(_ number: Int) throws -> OpenDescriptor {
        guard descriptors.indices.contains(number), let open = descriptors[number] else { throw fail(EBADF) }
        return open
    }

    func add(_ open: OpenDescriptor) -> Returned {
        if let free = descriptors.firstIndex(where: { $0 == nil }) {
            descriptors[free] = open
            return .number(Int64(free))
        }
        descriptors.append(open)
        return .number(Int64(descriptors.count - 1))
    }

    func close(_ number: Int) async throws -> Returned {
        let open = try descriptor(number)
        descriptors[number] = nil
        open.references -= 1
        if open.kind == .file, open.flags & O_ACCMODE != O_RDONLY { try await files.flush(open.inode, handle: open.handle) }
        guard open.references == 0 else { return .number(0) }
        switch open.kind {
        case .file: await files.release(open.inode, handle: open.handle)
        case .directory: await files.releaseDirectory(open.inode, handle: open.handle)
        case .path: break
        }
        return .number(0)
    }
}
