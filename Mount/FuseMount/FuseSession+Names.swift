import CFuse
import Filesystem
import Glibc
import Model
import Namespace
import Runtime

extension FuseSession {
    /// Copies a name, which is valid only during the call. Answers with ENAMETOOLONG and returns nil if it is too long.
    static func copiedName(_ text: UnsafePointer<CChar>?, _ request: OpaquePointer?) -> [UInt8]? {
        guard let text else {
            FuseRequest.refuse(request, EINVAL)
            return nil
        }
        let length = strnlen(text, Limits.nameBytes + 1)
        guard length <= Limits.nameBytes else {
            FuseRequest.refuse(request, ENAMETOOLONG)
            return nil
        }
        return Array(UnsafeRawBufferPointer(start: text, count: length))
    }

    /// Operations on entries of directories.
    static func addNames(to table: inout fuse_lowlevel_ops) {
        table.lookup = { request, parent, text in
            guard let name = FuseSession.copiedName(text, request) else { return }
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                let parent = InodeID(rawValue: parent)
                do throws(Errno) {
                    let entry = try await operations.lookup(parent, name)
                    if !request.reply(entry) { operations.forget(entry.attributes.inode, count: 1) }
                } catch {
                    guard error.rawValue == ENOENT else { throw error }
                    request.reply(absentFor: operations.absenceValidity(parent, name))
                }
            }
        }
        table.forget = { request, inode, count in
            if let request, let session = FuseSession.of(request) { session.forget([(InodeID(rawValue: inode), count)]) }
            fuse_reply_none(request)
        }
        table.forget_multi = { request, count, list in
            if let request, let list, let session = FuseSession.of(request) {
                session.forget(UnsafeBufferPointer(start: list, count: count).map { (InodeID(rawValue: $0.ino), $0.nlookup) })
            }
            fuse_reply_none(request)
        }
        table.readlink = { request, inode in
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                request.reply(target: try await operations.readSymlink(InodeID(rawValue: inode)))
            }
        }
        table.symlink = { request, text, parent, nameText in
            guard let name = FuseSession.copiedName(nameText, request) else { return }
            guard let text else { return FuseRequest.refuse(request, EINVAL) }
            let length = strnlen(text, Limits.symlinkBytes + 1)
            guard length <= Limits.symlinkBytes else { return FuseRequest.refuse(request, ENAMETOOLONG) }
            let target = Array(UnsafeRawBufferPointer(start: text, count: length))
            FuseSession.made(request) { operations, caller throws(Errno) in
                try await operations.makeSymlink(InodeID(rawValue: parent), name, target: target, caller)
            }
        }
        table.mknod = { request, parent, text, mode, device in
            guard let name = FuseSession.copiedName(text, request) else { return }
            guard let kind = FileKind(nodeMode: mode) else { return FuseRequest.refuse(request, EINVAL) }
            FuseSession.made(request) { operations, caller throws(Errno) in
                try await operations.makeNode(
                    InodeID(rawValue: parent), name, kind: kind, mode: UInt16(mode & 0o7777), device: UInt32(truncatingIfNeeded: device),
                    caller)
            }
        }
        table.mkdir = { request, parent, text, mode in
            guard let name = FuseSession.copiedName(text, request) else { return }
            FuseSession.made(request) { operations, caller throws(Errno) in
                try await operations.makeDirectory(InodeID(rawValue: parent), name, mode: UInt16(mode & 0o7777), caller)
            }
        }
        table.link = { request, inode, parent, text in
            guard let name = FuseSession.copiedName(text, request) else { return }
            FuseSession.made(request) { operations, _ throws(Errno) in
                try await operations.link(InodeID(rawValue: inode), to: InodeID(rawValue: parent), name)
            }
        }
        addRemovals(to: &table)
    }

    private static func addRemovals(to table: inout fuse_lowlevel_ops) {
        table.unlink = { request, parent, text in
            guard let name = FuseSession.copiedName(text, request) else { return }
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                try await operations.unlink(InodeID(rawValue: parent), name)
                request.done()
            }
        }
        table.rmdir = { request, parent, text in
            guard let name = FuseSession.copiedName(text, request) else { return }
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                try await operations.removeDirectory(InodeID(rawValue: parent), name)
                request.done()
            }
        }
        table.rename = { request, parent, text, newParent, newText, flags in
            guard let name = FuseSession.copiedName(text, request), let newName = FuseSession.copiedName(newText, request) else { return }
            guard let mode = RenameMode(flags: flags) else { return FuseRequest.refuse(request, EINVAL) }
            FuseRequest.serve(request, .change) { request, operations throws(Errno) in
                try await operations.rename(
                    InodeID(rawValue: parent), name, to: InodeID(rawValue: newParent), newName, mode: mode)
                request.done()
            }
        }
    }

    /// Answers with the entry that `make` made.
    private static func made(
        _ request: OpaquePointer?,
        _ make: @escaping @Sendable @LoopActor (any FileOperations, Caller) async throws(Errno) -> EntryReply
    ) {
        FuseRequest.serve(request, .change) { request, operations throws(Errno) in
            let entry = try await make(operations, request.caller)
            if !request.reply(entry) { operations.forget(entry.attributes.inode, count: 1) }
        }
    }

    /// The kernel waits for no answer, so a batch costs one job on the loop.
    private func forget(_ batch: [(InodeID, UInt64)]) {
        Task { @LoopActor in
            for (inode, count) in batch { operations.forget(inode, count: count) }
        }
    }
}
