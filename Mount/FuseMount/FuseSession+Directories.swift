import CFuse
import Filesystem
import Glibc
import Model
import Runtime

extension FuseSession {
    /// Operations on open directories.
    static func addDirectories(to table: inout fuse_lowlevel_ops) {
        table.opendir = { request, inode, _ in
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                let handle = try await operations.openDirectory(InodeID(rawValue: inode))
                if !request.reply(directory: handle) {
                    await operations.releaseDirectory(InodeID(rawValue: inode), handle: handle)
                }
            }
        }
        table.readdir = { request, inode, room, position, file in
            FuseSession.list(request, inode, room, position, file, plus: false)
        }
        table.readdirplus = { request, inode, room, position, file in
            FuseSession.list(request, inode, room, position, file, plus: true)
        }
        table.releasedir = { request, inode, file in
            guard let handle = file?.pointee.fh else { return FuseRequest.refuse(request, EINVAL) }
            FuseRequest.serve(request, .housekeeping) { request, operations throws(Errno) in
                await operations.releaseDirectory(InodeID(rawValue: inode), handle: handle)
                request.done()
            }
        }
        table.fsyncdir = { request, inode, _, _ in
            FuseRequest.serve(request, .syncing) { request, operations throws(Errno) in
                try await operations.syncDirectory(InodeID(rawValue: inode))
                request.done()
            }
        }
    }

    private static func list(
        _ request: OpaquePointer?, _ inode: fuse_ino_t, _ room: Int, _ position: off_t, _ file: UnsafeMutablePointer<fuse_file_info>?,
        plus: Bool
    ) {
        guard let handle = file?.pointee.fh else { return FuseRequest.refuse(request, EINVAL) }
        FuseRequest.serve(request, .query) { request, operations throws(Errno) in
            // The kernel hands back the position it was given, bit for bit.
            let items = try await operations.readDirectory(
                InodeID(rawValue: inode), handle: handle, position: UInt64(bitPattern: Int64(position)), plus: plus)
            request.reply(items, room: min(room, 1 << 20), plus: plus, operations)
        }
    }
}
