import Conformance
import Filesystem
import Glibc
import Model
import Namespace

/// Calls that make, move and remove names.
extension KernelModel {
    func onNames(_ call: Call, _ user: User) async throws -> Returned? {
        switch call {
        case .makeDirectory(let path, let mode):
            let walk = try await place(path, user, isDirectory: true)
            try await mayCreate(walk.directory, user)
            _ = try await files.makeDirectory(walk.directory, walk.last, mode: UInt16(mode & 0o1777), caller(user))
        case .removeDirectory(let path): try await removeDirectory(path, user)
        case .unlink(let path): try await unlink(path, user)
        case .rename(let path, let other, let flags): try await rename(path, other, flags, user)
        case .link(let path, let other, let follow):
            let found = try await resolve(path, user, follow: follow)
            try await link(found, other, user, isProtected: true)
        case .linkDescriptor(let number, let path):
            let open = try descriptor(number)
            // CAP_DAC_READ_SEARCH, or the very credentials that opened it (LOOKUP_LINKAT_EMPTY, path_init).
            guard user.isRoot else { throw fail(ENOENT) }
            let found = try await attributes(open.inode)
            let isTemporary = open.flags & Flags.temporary == Flags.temporary && open.flags & O_EXCL == 0
            try await link(found, path, user, isProtected: false, isTemporary: isTemporary)
        case .symlink(let target, let path):
            guard !target.isEmpty else { throw fail(ENOENT) }
            guard target.count <= 4095 else { throw fail(ENAMETOOLONG) }
            let walk = try await place(path, user)
            try await mayCreate(walk.directory, user)
            _ = try await files.makeSymlink(walk.directory, walk.last, target: target, caller(user))
        case .readLink(let path):
            let found = try await resolve(path, user, follow: false)
            guard found.kind == .symlink else { throw fail(EINVAL) }
            return .bytes(try await files.readSymlink(found.inode))
        case .makeNode(let path, let mode, let device): try await makeNode(path, mode, device, user)
        default: return nil
        }
        return .number(0)
    }

    func caller(_ user: User) -> Caller { Caller(uid: user.uid, gid: user.gid, umask: UInt16(mask)) }

    private func removeDirectory(_ path: Path, _ user: User) async throws {
        let walk = try await begin(path, user)
        if walk.isDotDot { throw fail(ENOTEMPTY) }
        if walk.isDot { throw fail(EINVAL) }
        guard let found = try await lookup(walk) else { throw fail(ENOENT) }
        try await mayDelete(walk.directory, found, user, isDirectory: true)
        try await files.removeDirectory(walk.directory, walk.last)
    }

    private func unlink(_ path: Path, _ user: User) async throws {
        let walk = try await begin(path, user)
        guard walk.isName else { throw fail(EISDIR) }
        guard let found = try await lookup(walk) else { throw fail(ENOENT) }
        if walk.slash { throw fail(found.kind == .directory ? EISDIR : ENOTDIR) }
        try await mayDelete(walk.directory, found, user, isDirectory: false)
        try await files.unlink(walk.directory, walk.last)
    }

    /// do_renameat2 and vfs_rename.
    private func rename(_ path: Path, _ other: Path, _ flags: UInt32, _ user: User) async throws {
        guard flags & ~7 == 0, flags & 2 == 0 || flags & 5 == 0 else { throw fail(EINVAL) }
        let (from, to) = (try await begin(path, user), try await begin(other, user))
        guard from.isName else { throw fail(EBUSY) }
        guard to.isName else { throw fail(flags & Flags.noReplace != 0 ? EEXIST : EBUSY) }
        guard let moved = try await lookup(from) else { throw fail(ENOENT) }
        let present = try await lookup(to)
        if flags & Flags.noReplace != 0, present != nil { throw fail(EEXIST) }
        let exchanges = flags & Flags.exchange != 0
        if exchanges {
            guard let present else { throw fail(ENOENT) }
            if present.kind != .directory, to.slash { throw fail(ENOTDIR) }
        }
        if moved.kind != .directory, from.slash || (!exchanges && to.slash) { throw fail(ENOTDIR) }
        if moved.kind == .directory, try await isAncestor(moved.inode, of: to.directory) { throw fail(EINVAL) }
        if let present, present.kind == .directory, try await isAncestor(present.inode, of: from.directory) { throw fail(exchanges ? EINVAL : ENOTEMPTY) }
        if let present, present.inode == moved.inode { return }
        try await mayDelete(from.directory, moved, user, isDirectory: moved.kind == .directory)
        if let present {
            try await mayDelete(to.directory, present, user, isDirectory: exchanges ? present.kind == .directory : moved.kind == .directory)
        } else {
            try await mayCreate(to.directory, user)
        }
        if from.directory != to.directory {
            if moved.kind == .directory { guard try await may(user, Self.write, moved) else { throw fail(EACCES) } }
            if exchanges, let present, present.kind == .directory { guard try await may(user, Self.write, present) else { throw fail(EACCES) } }
        }
        guard flags & Flags.whiteout == 0 else { throw fail(EINVAL) }
        try await files.rename(
            from.directory, from.last, to: to.directory, to.last, mode: exchanges ? .exchange : flags & Flags.noReplace != 0 ? .noReplace : .replace)
    }

    /// do_linkat and vfs_link. With /proc/sys/fs/protected_hardlinks on, as it is by default.
    private func link(_ found: Attributes, _ path: Path, _ user: User, isProtected: Bool, isTemporary: Bool = false) async throws {
        let walk = try await place(path, user)
        if isProtected, !user.isRoot, user.uid != found.uid {
            let isSafe = found.kind == .file && found.mode & 0o4000 == 0 && found.mode & 0o2010 != 0o2010
            guard isSafe, try await may(user, Self.read | Self.write, found) else { throw fail(EPERM) }
        }
        try await mayCreate(walk.directory, user)
        guard found.kind != .directory else { throw fail(EPERM) }
        // I_LINKABLE, vfs_link.
        guard found.links > 0 || isTemporary else { throw fail(ENOENT) }
        _ = try await files.link(found.inode, to: walk.directory, walk.last)
    }

    private func makeNode(_ path: Path, _ mode: UInt32, _ device: UInt32, _ user: User) async throws {
        let kind: FileKind
        switch mode & Flags.typeMask {
        case 0, Flags.file: kind = .file
        case Flags.fifo: kind = .fifo
        case Flags.socket: kind = .socket
        case Flags.characterDevice: kind = .characterDevice
        case Flags.blockDevice: kind = .blockDevice
        case Flags.directoryType: throw fail(EPERM)
        default: throw fail(EINVAL)
        }
        let walk = try await place(path, user)
        try await mayCreate(walk.directory, user)
        if kind == .characterDevice || kind == .blockDevice, !user.isRoot { throw fail(EPERM) }
        let mode = try await prepared(mode, in: walk.directory, user)
        _ = try await files.makeNode(walk.directory, walk.last, kind: kind, mode: mode, device: device, caller(user))
    }
}
