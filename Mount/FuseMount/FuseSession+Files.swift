import Bytes
import CFuse
import Filesystem
import Glibc
import Model
import Namespace
import Runtime

extension FuseSession {
    /// The largest range one copy_file_range request may ask for: its answer has 32 bits.
    private static let copyBytesMax = Int(UInt32.max) & ~4095

    /// Operations on open files.
    static func addFiles(to table: inout fuse_lowlevel_ops) {
        addOpening(to: &table)
        addContent(to: &table)
    }

    private static func addOpening(to table: inout fuse_lowlevel_ops) {
        table.open = { request, inode, file in
            guard let file else { return FuseRequest.refuse(request, EINVAL) }
            let flags = file.pointee.flags
            FuseRequest.serve(request, flags & O_TRUNC != 0 ? .change : .query) { request, operations throws(Errno) in
                let inode = InodeID(rawValue: inode)
                if flags & O_TRUNC != 0 { try await operations.dropPrivileges(inode, request.changer()) }
                let opened = try await operations.open(inode, flags: flags)
                if !request.reply(opened) {
                    await operations.release(inode, handle: opened.handle)
                }
            }
        }
        table.create = { request, parent, text, mode, file in
            guard let name = FuseSession.copiedName(text, request) else { return }
            guard let file else { return FuseRequest.refuse(request, EINVAL) }
            let flags = file.pointee.flags
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                let parent = InodeID(rawValue: parent)
                let mode = UInt16(mode & 0o7777)
                let (entry, opened): (EntryReply, OpenReply)
                do throws(Errno) {
                    if name == FuseTranslation.noName {
                        (entry, opened) = try await operations.createTemporary(parent, mode: mode, flags: flags, request.caller)
                    } else {
                        (entry, opened) = try await operations.create(parent, name, mode: mode, flags: flags | O_EXCL, request.caller)
                    }
                } catch {
                    // Another machine made it a moment before. The kernel takes whatever is opened here for the caller's own new file and checks no
                    // permissions (FMODE_CREATED, fs/namei.c); after ESTALE it looks the name up and opens what it finds.
                    throw error.rawValue == EEXIST && flags & O_EXCL == 0 ? Errno(rawValue: ESTALE) : error
                }
                if !request.reply(entry, opened) {
                    await operations.release(entry.attributes.inode, handle: opened.handle)
                    operations.forget(entry.attributes.inode, count: 1)
                }
            }
        }
        table.flush = { request, inode, file in
            guard let handle = file?.pointee.fh, let owner = file?.pointee.lock_owner else { return FuseRequest.refuse(request, EINVAL) }
            FuseRequest.serve(request, .closing) { request, operations throws(Errno) in
                await operations.closeLocks(InodeID(rawValue: inode), owner: owner)
                try await operations.flush(InodeID(rawValue: inode), handle: handle)
                request.done()
            }
        }
        table.release = { request, inode, file in
            guard let handle = file?.pointee.fh else { return FuseRequest.refuse(request, EINVAL) }
            FuseRequest.serve(request, .housekeeping) { request, operations throws(Errno) in
                await operations.release(InodeID(rawValue: inode), handle: handle)
                request.done()
            }
        }
        table.fsync = { request, inode, dataOnly, file in
            guard let handle = file?.pointee.fh else { return FuseRequest.refuse(request, EINVAL) }
            FuseRequest.serve(request, .syncing) { request, operations throws(Errno) in
                try await operations.sync(InodeID(rawValue: inode), handle: handle, dataOnly: dataOnly != 0)
                request.done()
            }
        }
    }

    private static func addContent(to table: inout fuse_lowlevel_ops) {
        table.read = { request, inode, size, offset, file in
            guard let handle = file?.pointee.fh, let offset = UInt64(exactly: offset) else { return FuseRequest.refuse(request, EINVAL) }
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                request.reply(
                    try await operations.read(InodeID(rawValue: inode), handle: handle, offset: offset, count: size), atMost: size)
            }
        }
        table.write = { request, inode, bytes, size, offset, file in
            guard let handle = file?.pointee.fh, let offset = UInt64(exactly: offset) else { return FuseRequest.refuse(request, EINVAL) }
            // libfuse reads the next request into the same memory: the one copy.
            let content = BufferPool.shared.buffer(copying: UnsafeRawBufferPointer(start: bytes, count: size)).slice
            // Each write brings the descriptor's flags as they are now.
            let flags = file?.pointee.flags ?? 0
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                let inode = InodeID(rawValue: inode)
                operations.setFlags(inode, handle: handle, flags: flags)
                let count = try await operations.write(inode, handle: handle, offset: offset, content)
                if operations.mayHavePrivileges(inode, handle: handle) { try await operations.dropPrivileges(inode, request.changer()) }
                request.reply(written: count)
            }
        }
        table.fallocate = { request, inode, mode, offset, length, file in
            guard let handle = file?.pointee.fh, let offset = UInt64(exactly: offset), let length = UInt64(exactly: length) else {
                return FuseRequest.refuse(request, EINVAL)
            }
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                let inode = InodeID(rawValue: inode)
                try await operations.allocate(inode, handle: handle, mode: mode, offset: offset, length: length)
                try await operations.dropPrivileges(inode, request.changer())
                request.done()
            }
        }
        table.lseek = { request, inode, offset, whence, file in
            guard let handle = file?.pointee.fh else { return FuseRequest.refuse(request, EINVAL) }
            guard let offset = UInt64(exactly: offset) else { return FuseRequest.refuse(request, ENXIO) }
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                request.reply(
                    offset: try await operations.seek(InodeID(rawValue: inode), handle: handle, offset: offset, whence: whence))
            }
        }
        table.copy_file_range = { request, source, offset, file, target, targetOffset, targetFile, length, flags in
            guard let handle = file?.pointee.fh, let targetHandle = targetFile?.pointee.fh, flags == 0,
                let offset = UInt64(exactly: offset), let targetOffset = UInt64(exactly: targetOffset)
            else { return FuseRequest.refuse(request, EINVAL) }
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                let target = InodeID(rawValue: target)
                let count = try await operations.copyRange(
                    from: InodeID(rawValue: source), handle: handle, offset: offset, to: target, targetHandle: targetHandle,
                    targetOffset: targetOffset, count: min(length, FuseSession.copyBytesMax))
                try await operations.dropPrivileges(target, request.changer())
                request.reply(written: count)
            }
        }
    }
}
