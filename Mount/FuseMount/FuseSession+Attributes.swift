import CFuse
import Filesystem
import Glibc
import Model
import Namespace
import Runtime

extension FuseSession {
    /// Operations on attributes, extended attributes and the filesystem as a whole.
    static func addAttributes(to table: inout fuse_lowlevel_ops) {
        table.getattr = { request, inode, file in
            // The kernel tells the open file before it reads cached pages (auto_inval_data) and at fstat(2), not when it checks permissions.
            let isReader = file != nil
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                let inode = InodeID(rawValue: inode)
                request.reply(isReader ? try await operations.attributesForReader(inode) : try await operations.attributes(inode))
            }
        }
        table.setattr = { request, inode, new, flags, file in
            guard let new else { return FuseRequest.refuse(request, EINVAL) }
            let status = new.pointee
            guard flags & FUSE_SET_ATTR_SIZE == 0 || status.st_size >= 0 else { return FuseRequest.refuse(request, EINVAL) }
            let size = flags & FUSE_SET_ATTR_SIZE != 0 ? UInt64(status.st_size) : nil
            let change = AttributeChange(status, flags)
            let handle = file?.pointee.fh
            // chown(2) that changes neither comes as a request for nothing at all.
            let changesOwner = flags & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) != 0 || flags == 0
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                let inode = InodeID(rawValue: inode)
                if changesOwner || size != nil {
                    try await operations.dropPrivileges(inode, request.changer(keepsSetID: request.caller.uid == 0 && !changesOwner))
                }
                request.reply(changed: try await operations.setAttributes(inode, change, size: size, handle: handle))
            }
        }
        table.statfs = { request, _ in
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                request.reply(try await operations.statistics())
            }
        }
        table.getxattr = { request, inode, text, room in
            guard let name = FuseSession.xattrName(text, request) else { return }
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                request.reply(xattr: try await operations.xattr(InodeID(rawValue: inode), name: name), room: room)
            }
        }
        table.listxattr = { request, inode, room in
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                let names = try await operations.xattrNames(InodeID(rawValue: inode)).filter { XattrPolicy.isListed($0, to: request.caller.uid) }
                request.reply(xattr: names.flatMap { $0 + [0] }, room: room)
            }
        }
        table.setxattr = { request, inode, text, bytes, size, flags in
            guard let name = FuseSession.xattrName(text, request) else { return }
            guard let mode = XattrMode(flags: flags) else { return FuseRequest.refuse(request, EINVAL) }
            guard size <= Limits.xattrValueBytes else { return FuseRequest.refuse(request, E2BIG) }
            let value = Array(UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : size))
            let groups = AccessControlList.isName(name) ? FuseRequest.restrictingGroups(request) : nil
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                try await operations.setXattr(InodeID(rawValue: inode), name: name, value: value, mode: mode, groups: groups)
                request.done()
            }
        }
        table.removexattr = { request, inode, text in
            guard let name = FuseSession.xattrName(text, request) else { return }
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                try await operations.removeXattr(InodeID(rawValue: inode), name: name)
                request.done()
            }
        }
    }

    /// Copies the name; answers and returns nil if the filesystem need not be asked.
    private static func xattrName(_ text: UnsafePointer<CChar>?, _ request: OpaquePointer?) -> [UInt8]? {
        guard let text, let request else {
            FuseRequest.refuse(request, EINVAL)
            return nil
        }
        let length = strnlen(text, Limits.xattrNameBytes + 1)
        guard length <= Limits.xattrNameBytes else {
            FuseRequest.refuse(request, ERANGE)
            return nil
        }
        let name = Array(UnsafeRawBufferPointer(start: text, count: length))
        let refusal = XattrPolicy.refusal(name)
        guard refusal == 0 else {
            FuseRequest.refuse(request, refusal)
            return nil
        }
        return name
    }
}
