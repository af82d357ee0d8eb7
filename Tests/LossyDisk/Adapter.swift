import CFuse
import Glibc

/// The volume as libfuse sees it. One thread serves everything, so nothing is locked.
///
/// Every open file bypasses the kernel's page cache (`direct_io`), and names and attributes are valid for no time at all: so the kernel holds nothing
/// that could outlive a power loss.
final class Adapter {
    /// linux/fs.h
    private static let renameNoReplace: UInt32 = 1
    private static let writeMax: UInt32 = 1 << 20

    let volume: Volume
    private var listings: [UInt64: [(name: String, number: UInt64, mode: mode_t)]] = [:]
    private var nextListing: UInt64 = 1

    init(_ volume: Volume) { self.volume = volume }

    // MARK: Answering

    private static func of(_ request: OpaquePointer?) -> Adapter? {
        guard let data = fuse_req_userdata(request) else { return nil }
        return Unmanaged<Adapter>.fromOpaque(data).takeUnretainedValue()
    }

    /// Runs `body`, which answers; what it throws is the answer.
    private static func serve(_ request: OpaquePointer?, _ body: (Adapter) throws(DiskFailure) -> Void) {
        guard let request, let adapter = of(request) else { return }
        do throws(DiskFailure) { try body(adapter) } catch { fuse_reply_err(request, error.code) }
    }

    private static func answer(_ request: OpaquePointer?, _ node: Node) {
        var parameters = entry(node)
        fuse_reply_entry(request, &parameters)
    }

    private static func entry(_ node: Node) -> fuse_entry_param {
        var parameters = fuse_entry_param()
        parameters.ino = node.number
        parameters.attr = node.status
        return parameters
    }

    private static func name(_ text: UnsafePointer<CChar>?) -> String { text.map { String(cString: $0) } ?? "" }

    private static func caller(_ request: OpaquePointer?) -> (uid_t, gid_t) {
        fuse_req_ctx(request).map { ($0.pointee.uid, $0.pointee.gid) } ?? (0, 0)
    }

    /// A file that was opened before a power loss is dead.
    private func check(_ file: UnsafeMutablePointer<fuse_file_info>?) throws(DiskFailure) {
        guard let file, file.pointee.fh == volume.epoch else { throw DiskFailure(EIO) }
    }

    private func opened(_ node: Node, _ file: UnsafeMutablePointer<fuse_file_info>) throws(DiskFailure) {
        if file.pointee.flags & O_TRUNC != 0 { try volume.truncate(node.number, to: 0) }
        try volume.open(node.number)
        file.pointee.fh = volume.epoch
        file.pointee.direct_io = 1
    }

    // MARK: Handlers

    static func handlers() -> fuse_lowlevel_ops {
        var table = fuse_lowlevel_ops()
        table.`init` = { _, connection in
            connection?.pointee.max_write = Adapter.writeMax
            connection?.pointee.time_gran = 1
        }
        addNames(to: &table)
        addChanges(to: &table)
        addAttributes(to: &table)
        addFiles(to: &table)
        addDirectories(to: &table)
        // Left to the kernel: locks of both kinds, access checks. Not supported: extended attributes.
        return table
    }

    private static func addNames(to table: inout fuse_lowlevel_ops) {
        table.lookup = { request, parent, text in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                Adapter.answer(request, try adapter.volume.child(parent, Adapter.name(text)))
            }
        }
        table.mkdir = { request, parent, text, mode in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                let (owner, group) = Adapter.caller(request)
                Adapter.answer(request, try adapter.volume.make(parent, Adapter.name(text), .directory, mode: S_IFDIR | mode, owner: owner, group: group))
            }
        }
        table.mknod = { request, parent, text, mode, device in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                let (owner, group) = Adapter.caller(request)
                let isFile = mode & S_IFMT == S_IFREG || mode & S_IFMT == 0
                let made = try adapter.volume.make(
                    parent, Adapter.name(text), isFile ? .file : .special, mode: isFile ? S_IFREG | mode : mode, owner: owner, group: group)
                made.device = device
                Adapter.answer(request, made)
            }
        }
        table.symlink = { request, target, parent, text in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                let (owner, group) = Adapter.caller(request)
                let made = try adapter.volume.make(parent, Adapter.name(text), .symlink, mode: S_IFLNK | 0o777, owner: owner, group: group)
                made.target = Adapter.name(target)
                Adapter.answer(request, made)
            }
        }
    }

    private static func addChanges(to table: inout fuse_lowlevel_ops) {
        table.readlink = { request, number in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                fuse_reply_readlink(request, try adapter.volume.node(number).target)
            }
        }
        table.link = { request, number, parent, text in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                Adapter.answer(request, try adapter.volume.link(number, parent, Adapter.name(text)))
            }
        }
        table.unlink = { request, parent, text in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                try adapter.volume.remove(parent, Adapter.name(text), isDirectory: false)
                fuse_reply_err(request, 0)
            }
        }
        table.rmdir = { request, parent, text in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                try adapter.volume.remove(parent, Adapter.name(text), isDirectory: true)
                fuse_reply_err(request, 0)
            }
        }
        table.rename = { request, parent, text, newParent, newText, flags in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                guard flags & ~Adapter.renameNoReplace == 0 else { throw DiskFailure(EINVAL) }
                try adapter.volume.rename(
                    parent, Adapter.name(text), newParent, Adapter.name(newText), mayReplace: flags & Adapter.renameNoReplace == 0)
                fuse_reply_err(request, 0)
            }
        }
    }

    private static func addAttributes(to table: inout fuse_lowlevel_ops) {
        table.getattr = { request, number, _ in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                var status = try adapter.volume.node(number).status
                fuse_reply_attr(request, &status, 0)
            }
        }
        table.setattr = { request, number, new, flags, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                guard let new = new?.pointee else { throw DiskFailure(EINVAL) }
                let node = try adapter.volume.node(number)
                if flags & FUSE_SET_ATTR_SIZE != 0 {
                    if file != nil { try adapter.check(file) }
                    try adapter.volume.truncate(number, to: Int(new.st_size))
                }
                if flags & FUSE_SET_ATTR_MODE != 0 { node.mode = node.mode & S_IFMT | new.st_mode & 0o7777 }
                if flags & FUSE_SET_ATTR_UID != 0 { node.owner = new.st_uid }
                if flags & FUSE_SET_ATTR_GID != 0 { node.group = new.st_gid }
                if flags & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW) != 0 { node.accessed = new.st_atim }
                if flags & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) != 0 { node.modified = new.st_mtim }
                clock_gettime(CLOCK_REALTIME, &node.changed)
                var status = node.status
                fuse_reply_attr(request, &status, 0)
            }
        }
        table.statfs = { request, _ in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                var status = statvfs()
                status.f_bsize = UInt(Page.size)
                status.f_frsize = UInt(Page.size)
                status.f_blocks = fsblkcnt_t(max(adapter.volume.capacity, adapter.volume.used))
                status.f_bfree = fsblkcnt_t(max(0, adapter.volume.capacity - adapter.volume.used))
                status.f_bavail = status.f_bfree
                status.f_files = 1_000_000
                status.f_ffree = fsfilcnt_t(max(0, 1_000_000 - adapter.volume.nodes.count))
                status.f_favail = status.f_ffree
                status.f_namemax = 255
                fuse_reply_statfs(request, &status)
            }
        }
    }

    private static func addFiles(to table: inout fuse_lowlevel_ops) {
        table.create = { request, parent, text, mode, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                guard let file else { throw DiskFailure(EINVAL) }
                let (owner, group) = Adapter.caller(request)
                let made = try adapter.volume.make(parent, Adapter.name(text), .file, mode: S_IFREG | mode, owner: owner, group: group)
                try adapter.opened(made, file)
                var parameters = Adapter.entry(made)
                fuse_reply_create(request, &parameters, file)
            }
        }
        table.open = { request, number, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                guard let file else { throw DiskFailure(EINVAL) }
                try adapter.opened(try adapter.volume.node(number), file)
                fuse_reply_open(request, file)
            }
        }
        table.release = { request, number, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                if file?.pointee.fh == adapter.volume.epoch { adapter.volume.close(number) }
                fuse_reply_err(request, 0)
            }
        }
        table.read = { request, number, count, offset, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                try adapter.check(file)
                let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(1, count), alignment: 16)
                defer { buffer.deallocate() }
                let got = try adapter.volume.read(number, at: Int(offset), count: count, into: buffer)
                fuse_reply_buf(request, buffer.assumingMemoryBound(to: CChar.self), got)
            }
        }
        table.write = { request, number, bytes, count, offset, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                try adapter.check(file)
                guard let bytes else { throw DiskFailure(EINVAL) }
                try adapter.volume.write(number, at: Int(offset), UnsafeRawPointer(bytes), count: count)
                fuse_reply_write(request, count)
            }
        }
        table.fsync = { request, number, _, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                try adapter.check(file)
                try adapter.volume.sync(number)
                fuse_reply_err(request, 0)
            }
        }
        table.fallocate = { request, number, mode, offset, count, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                try adapter.check(file)
                try adapter.volume.allocate(number, mode: mode, at: Int(offset), count: Int(count))
                fuse_reply_err(request, 0)
            }
        }
    }

    private static func addDirectories(to table: inout fuse_lowlevel_ops) {
        table.opendir = { request, number, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                guard let file else { throw DiskFailure(EINVAL) }
                let directory = try adapter.volume.directory(number)
                var listing: [(name: String, number: UInt64, mode: mode_t)] = [(".", number, directory.mode), ("..", directory.parent, S_IFDIR)]
                for (name, target) in directory.entries.sorted(by: { $0.key < $1.key }) {
                    listing.append((name, target, try adapter.volume.node(target).mode))
                }
                file.pointee.fh = adapter.nextListing
                adapter.listings[adapter.nextListing] = listing
                adapter.nextListing += 1
                fuse_reply_open(request, file)
            }
        }
        table.releasedir = { request, _, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                if let file { adapter.listings[file.pointee.fh] = nil }
                fuse_reply_err(request, 0)
            }
        }
        table.readdir = { request, _, room, position, file in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                guard let file, let listing = adapter.listings[file.pointee.fh] else { throw DiskFailure(EBADF) }
                let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: max(1, room))
                defer { buffer.deallocate() }
                var filled = 0
                for index in listing.indices.dropFirst(Int(position)) {
                    var status = stat()
                    status.st_ino = ino_t(listing[index].number)
                    status.st_mode = listing[index].mode
                    let size = fuse_add_direntry(request, buffer + filled, room - filled, listing[index].name, &status, off_t(index + 1))
                    guard size <= room - filled else { break }
                    filled += size
                }
                fuse_reply_buf(request, buffer, filled)
            }
        }
        table.fsyncdir = { request, number, _, _ in
            Adapter.serve(request) { adapter throws(DiskFailure) in
                try adapter.volume.sync(number)
                fuse_reply_err(request, 0)
            }
        }
    }
}
