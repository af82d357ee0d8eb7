import Bytes
import Conformance
import Filesystem
import Glibc
import Model
import Namespace

/// Calls on open files and directories.
extension KernelModel {
    func onFiles(_ call: Call, _ user: User) async throws -> Returned? {
        switch call {
        case .open(let path, let flags, let mode): return try await open(path, flags, mode, user)
        case .close(let number): return try await close(number)
        case .duplicate(let number):
            let open = try descriptor(number)
            open.references += 1
            return add(open)
        case .setFlags(let number, let flags):
            let open = try descriptor(number)
            open.flags = open.flags & ~(O_APPEND | O_NONBLOCK) | flags & (O_APPEND | O_NONBLOCK)
            return .number(0)
        case .read(let number, let count):
            let open = try reader(number)
            let bytes = try await read(open, count, at: open.offset)
            open.offset += Int64(bytes.count)
            return .bytes(bytes)
        case .pread(let number, let count, let offset):
            guard offset >= 0 else { throw fail(EINVAL) }
            return .bytes(try await read(try reader(number), count, at: offset))
        case .write(let number, let bytes):
            let open = try writer(number)
            guard !bytes.isEmpty else { return .number(0) }
            let (count, end) = try await write(open, bytes, at: open.offset, user)
            open.offset = end
            return .number(Int64(count))
        case .pwrite(let number, let bytes, let offset):
            guard offset >= 0 else { throw fail(EINVAL) }
            let open = try writer(number)
            guard !bytes.isEmpty else { return .number(0) }
            return .number(Int64(try await write(open, bytes, at: offset, user).0))
        case .seek(let number, let offset, let whence): return .number(try await seek(number, offset, whence))
        case .truncate(let target, let size): return try await truncate(target, size, user)
        case .allocate(let number, let mode, let offset, let length): return try await allocate(number, mode, offset, length, user)
        case .sync(let number, let dataOnly):
            let open = try descriptor(number)
            switch open.kind {
            case .file: try await files.sync(open.inode, handle: open.handle, dataOnly: dataOnly)
            case .directory: try await files.syncDirectory(open.inode)
            case .path: throw fail(EBADF)
            }
            return .number(0)
        case .copyRange(let from, let offset, let to, let toOffset, let count, let flags):
            return try await copy(from, offset, to, toOffset, count, flags, user)
        case .entries(let number, let room): return try await entries(number, room)
        default: return nil
        }
    }

    // MARK: open(2)

    private func open(_ path: Path, _ flags: Int32, _ mode: UInt32, _ user: User) async throws -> Returned {
        if flags & Flags.temporary == Flags.temporary { return try await openTemporary(path, flags, mode, user) }
        let creates = flags & O_CREAT != 0
        if creates, flags & Flags.directory != 0 { throw fail(EINVAL) }
        if flags & Flags.path != 0 {
            let found = try await resolve(path, user, follow: flags & Flags.noFollow == 0)
            if flags & Flags.directory != 0, found.kind != .directory { throw fail(ENOTDIR) }
            return add(OpenDescriptor(inode: found.inode, kind: .path, handle: 0, flags: flags))
        }
        var walk = try await begin(path, user)
        while true {
            if creates, walk.slash { throw fail(EISDIR) }
            if creates, !walk.isName { throw fail(flags & O_EXCL != 0 ? EEXIST : EISDIR) }
            guard let found = try await lookup(walk) else {
                guard creates else { throw fail(ENOENT) }
                try await mayCreate(walk.directory, user)
                let mode = try await prepared(mode, in: walk.directory, user)
                let (entry, opened) = try await files.create(walk.directory, walk.last, mode: mode, flags: flags, caller(user))
                return add(OpenDescriptor(inode: entry.attributes.inode, kind: .file, handle: opened.handle, flags: flags))
            }
            if creates, flags & O_EXCL != 0 { throw fail(EEXIST) }
            if found.kind == .symlink {
                if flags & Flags.noFollow != 0, !walk.slash { throw fail(flags & Flags.directory != 0 ? ENOTDIR : ELOOP) }
                try await follow(found, &walk, user)
                continue
            }
            if walk.slash || flags & Flags.directory != 0, found.kind != .directory { throw fail(ENOTDIR) }
            if creates { try await mayCreateInSticky(walk.directory, found, user) }
            return try await open(found, flags, user)
        }
    }

    /// build_open_flags and do_tmpfile.
    private func openTemporary(_ path: Path, _ flags: Int32, _ mode: UInt32, _ user: User) async throws -> Returned {
        guard flags & O_ACCMODE != O_RDONLY else { throw fail(EINVAL) }
        let directory = try await resolve(path, user, follow: flags & Flags.noFollow == 0)
        guard directory.kind == .directory else { throw fail(ENOTDIR) }
        try await mayCreate(directory.inode, user)
        let mode = try await prepared(mode, in: directory.inode, user)
        let (entry, opened) = try await files.createTemporary(directory.inode, mode: mode, flags: flags, caller(user))
        return add(OpenDescriptor(inode: entry.attributes.inode, kind: .file, handle: opened.handle, flags: flags))
    }

    /// may_create_in_sticky, with /proc/sys/fs/protected_regular at 2 or as this machine has it.
    private func mayCreateInSticky(_ directory: InodeID, _ found: Attributes, _ user: User) async throws {
        if found.kind == .directory { throw fail(EISDIR) }
        let parent = try await attributes(directory)
        guard Self.protectsRegular > 0, parent.mode & 0o1000 != 0, found.kind == .file, found.uid != parent.uid, found.uid != user.uid else { return }
        if parent.mode & 0o002 != 0 || (parent.mode & 0o020 != 0 && Self.protectsRegular > 1) { throw fail(EACCES) }
    }

    private static let protectsRegular: Int = {
        guard let file = fopen("/proc/sys/fs/protected_regular", "r") else { return 0 }
        defer { fclose(file) }
        return Int(fgetc(file)) - 0x30
    }()

    /// may_open and fuse_open.
    private func open(_ found: Attributes, _ flags: Int32, _ user: User) async throws -> Returned {
        let access = flags & O_ACCMODE
        let writes = access != O_RDONLY || flags & O_TRUNC != 0
        if found.kind == .directory, writes { throw fail(EISDIR) }
        var wanted: UInt16 = access == O_WRONLY ? 0 : Self.read
        if writes { wanted |= Self.write }
        guard try await may(user, wanted, found) else { throw fail(EACCES) }
        if flags & Flags.noAccessTime != 0, !user.isRoot, user.uid != found.uid { throw fail(EPERM) }
        switch found.kind {
        case .directory:
            return add(OpenDescriptor(inode: found.inode, kind: .directory, handle: try await files.openDirectory(found.inode), flags: flags))
        case .file:
            if flags & O_TRUNC != 0 { try await dropPrivileges(found.inode, user) }
            let opened = try await files.open(found.inode, flags: flags)
            return add(OpenDescriptor(inode: found.inode, kind: .file, handle: opened.handle, flags: flags))
        default:
            throw fail(ENXIO)
        }
    }

    // MARK: Content

    private func reader(_ number: Int) throws -> OpenDescriptor {
        let open = try descriptor(number)
        guard open.kind != .path, open.flags & O_ACCMODE != O_WRONLY else { throw fail(EBADF) }
        if open.kind == .directory { throw fail(EISDIR) }
        return open
    }

    private func writer(_ number: Int) throws -> OpenDescriptor {
        let open = try descriptor(number)
        guard open.kind == .file, open.flags & O_ACCMODE != O_RDONLY else { throw fail(EBADF) }
        return open
    }

    private func read(_ open: OpenDescriptor, _ count: Int, at offset: Int64) async throws -> [UInt8] {
        guard count > 0 else { return [] }
        return try await files.read(open.inode, handle: open.handle, offset: UInt64(offset), count: count).flatMap(\.array)
    }

    /// - Returns: the bytes taken, and where the file's offset is then.
    private func write(_ open: OpenDescriptor, _ bytes: [UInt8], at offset: Int64, _ user: User) async throws -> (Int, Int64) {
        let (_, overflow) = offset.addingReportingOverflow(Int64(bytes.count))
        guard !overflow else { throw fail(EINVAL) }
        try await dropPrivileges(open.inode, user)
        files.setFlags(open.inode, handle: open.handle, flags: open.flags)
        let count = try await files.write(open.inode, handle: open.handle, offset: UInt64(offset), Slice(copying: bytes))
        let end = open.flags & O_APPEND != 0 ? Int64(try await attributes(open.inode).size) : offset + Int64(count)
        return (count, end)
    }

    private func seek(_ number: Int, _ offset: Int64, _ whence: Int32) async throws -> Int64 {
        let open = try descriptor(number)
        guard open.kind != .path else { throw fail(EBADF) }
        let start: Int64
        switch whence {
        case SEEK_SET: start = 0
        case SEEK_CUR: start = open.offset
        case SEEK_END: start = Int64(try await attributes(open.inode).size)
        case Flags.seekData, Flags.seekHole:
            guard open.kind == .file else { throw fail(EINVAL) }
            guard let position = UInt64(exactly: offset) else { throw fail(ENXIO) }
            open.offset = Int64(try await files.seek(open.inode, handle: open.handle, offset: position, whence: whence))
            return open.offset
        default: throw fail(EINVAL)
        }
        let (position, overflow) = start.addingReportingOverflow(offset)
        guard !overflow, position >= 0 else { throw fail(EINVAL) }
        open.offset = position
        return position
    }

    private func truncate(_ target: Target, _ size: Int64, _ user: User) async throws -> Returned {
        guard let size = UInt64(exactly: size) else { throw fail(EINVAL) }
        var handle: UInt64?
        let found: Attributes
        switch target {
        case .descriptor(let number):
            let open = try descriptor(number)
            guard open.kind != .path else { throw fail(EBADF) }
            guard open.kind == .file, open.flags & O_ACCMODE != O_RDONLY else { throw fail(EINVAL) }
            handle = open.handle
            found = try await attributes(open.inode)
        case .path(let path), .link(let path):
            found = try await resolve(path, user, follow: true)
            guard found.kind != .directory else { throw fail(EISDIR) }
            guard found.kind == .file else { throw fail(EINVAL) }
            guard try await may(user, Self.write, found) else { throw fail(EACCES) }
        }
        try await dropPrivileges(found.inode, user)
        _ = try await files.setAttributes(found.inode, AttributeChange(), size: size, handle: handle)
        return .number(0)
    }

    /// vfs_fallocate and fuse_file_fallocate.
    private func allocate(_ number: Int, _ mode: Int32, _ offset: Int64, _ length: Int64, _ user: User) async throws -> Returned {
        let open = try descriptor(number)
        guard open.kind != .path else { throw fail(EBADF) }
        guard let start = UInt64(exactly: offset), length > 0 else { throw fail(EINVAL) }
        guard mode & ~0x7F == 0 else { throw fail(EOPNOTSUPP) }
        if mode & Flags.punchHole != 0, mode & Flags.keepSize == 0 { throw fail(EOPNOTSUPP) }
        guard open.kind == .file, open.flags & O_ACCMODE != O_RDONLY else { throw fail(EBADF) }
        guard !offset.addingReportingOverflow(length).overflow else { throw fail(EFBIG) }
        guard mode & ~(Flags.keepSize | Flags.punchHole | Flags.zeroRange) == 0 else { throw fail(EOPNOTSUPP) }
        try await dropPrivileges(open.inode, user)
        try await files.allocate(open.inode, handle: open.handle, mode: mode, offset: start, length: UInt64(length))
        return .number(0)
    }

    /// vfs_copy_file_range.
    private func copy(
        _ from: Int, _ offset: Int64?, _ to: Int, _ toOffset: Int64?, _ count: Int, _ flags: UInt32, _ user: User
    ) async throws -> Returned {
        let (source, target) = (try descriptor(from), try descriptor(to))
        guard source.kind != .path, target.kind != .path else { throw fail(EBADF) }
        guard flags == 0 else { throw fail(EINVAL) }
        if source.kind == .directory || target.kind == .directory { throw fail(EISDIR) }
        guard source.flags & O_ACCMODE != O_WRONLY, target.flags & O_ACCMODE != O_RDONLY, target.flags & O_APPEND == 0 else { throw fail(EBADF) }
        let (start, place) = (offset ?? source.offset, toOffset ?? target.offset)
        guard start >= 0, place >= 0 else { throw fail(EINVAL) }
        let size = Int64(try await attributes(source.inode).size)
        let count = min(Int64(count), max(0, size - start))
        if source.inode == target.inode, start < place + count, place < start + count { throw fail(EINVAL) }
        guard count > 0 else { return .number(0) }
        try await dropPrivileges(target.inode, user)
        let copied = try await files.copyRange(
            from: source.inode, handle: source.handle, offset: UInt64(start), to: target.inode, targetHandle: target.handle, targetOffset: UInt64(place),
            count: Int(count))
        if offset == nil { source.offset += Int64(copied) }
        if toOffset == nil { target.offset += Int64(copied) }
        return .number(Int64(copied))
    }

    // MARK: Directories

    private static func kind(_ kind: FileKind) -> UInt8 {
        switch kind {
        case .fifo: 1
        case .characterDevice: 2
        case .directory: 4
        case .blockDevice: 6
        case .file: 8
        case .symlink: 10
        case .socket: 12
        }
    }

    private func entries(_ number: Int, _ room: Int) async throws -> Returned {
        let open = try descriptor(number)
        guard open.kind != .path else { throw fail(EBADF) }
        guard open.kind == .directory else { throw fail(ENOTDIR) }
        guard try await attributes(open.inode).links > 0 else { throw fail(ENOENT) }
        var left = room
        var found: [Entry] = []
        while true {
            let items = try await files.readDirectory(open.inode, handle: open.handle, position: UInt64(open.offset), plus: found.count % 2 == 0)
            guard !items.isEmpty else { return .entries(found) }
            for item in items {
                // struct linux_dirent64.
                let size = (19 + item.name.count + 1 + 7) / 8 * 8
                guard size <= left else {
                    if found.isEmpty { throw fail(EINVAL) }
                    return .entries(found)
                }
                left -= size
                open.offset = Int64(item.next)
                found.append(Entry(name: item.name, inode: item.inode.rawValue, kind: Self.kind(item.kind), next: Int64(item.next)))
            }
        }
    }
}
