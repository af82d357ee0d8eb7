import Conformance
import Filesystem
import Glibc
import Model
import Namespace
import Runtime

/// Calls on attributes, extended attributes and the filesystem.
extension KernelModel {
    func onAttributes(_ call: Call, _ user: User) async throws -> Returned? {
        switch call {
        case .status(let target): return .status(Status(try await resolve(target, user)))
        case .chmod(let target, let mode):
            if case .descriptor(let number) = target, try descriptor(number).kind == .path { throw fail(EBADF) }
            let found = try await resolve(Self.followed(target), user)
            guard user.isRoot || user.uid == found.uid else { throw fail(EPERM) }
            var kept = UInt16(mode & 0o7777)
            if !user.isRoot, !user.belongs(to: found.gid) { kept &= ~0o2000 }
            _ = try await files.setAttributes(found.inode, AttributeChange(mode: kept), size: nil, handle: nil)
        case .chown(let target, let uid, let gid): try await chown(try await resolve(target, user), uid, gid, user)
        case .setTimes(let target, let times): try await setTimes(target, times, user)
        case .access(let path, let mode):
            guard mode & ~7 == 0 else { throw fail(EINVAL) }
            let found = try await resolve(path, user, follow: true)
            guard try await may(user, UInt16(mode), found) else { throw fail(EACCES) }
        case .umask(let new):
            defer { mask = new & 0o777 }
            return .number(Int64(mask))
        case .space(let path):
            _ = try await resolve(path, user, follow: true)
            let found = try await files.statistics()
            let unit = UInt64(found.blockSize)
            return .space(
                Space(
                    blockSize: unit, fragmentSize: unit, blocks: found.totalBytes / unit, free: found.freeBytes / unit, available: found.freeBytes / unit,
                    files: found.inodes + found.freeBytes / 4096, freeFiles: found.freeBytes / 4096, nameMax: 255))
        default: return try await onXattrs(call, user)
        }
        return .number(0)
    }

    /// chmod(2) follows symlinks always.
    private static func followed(_ target: Target) -> Target { if case .link(let path) = target { .path(path) } else { target } }

    /// chown_common and setattr_prepare.
    private func chown(_ found: Attributes, _ uid: UInt32?, _ gid: UInt32?, _ user: User) async throws {
        let isOwner = user.uid == found.uid
        if let uid, !user.isRoot, !isOwner || uid != found.uid { throw fail(EPERM) }
        if let gid, !user.isRoot, !isOwner || (gid != found.gid && !user.belongs(to: gid)) { throw fail(EPERM) }
        try await dropPrivileges(found.inode, user, changesOwner: true)
        let change = AttributeChange(uid: uid, gid: gid)
        guard change != AttributeChange() else { return }
        _ = try await files.setAttributes(found.inode, change, size: nil, handle: nil)
    }

    /// utimensat and vfs_utimes.
    private func setTimes(_ target: Target, _ times: (Time, Time)?, _ user: User) async throws {
        if let times {
            for time in [times.0, times.1] where time.nanoseconds != Time.now.nanoseconds && time.nanoseconds != Time.omit.nanoseconds {
                guard (0..<1_000_000_000).contains(time.nanoseconds) else { throw fail(EINVAL) }
            }
            if times.0.nanoseconds == Time.omit.nanoseconds, times.1.nanoseconds == Time.omit.nanoseconds { return }
        }
        if case .descriptor(let number) = target, try descriptor(number).kind == .path { throw fail(EBADF) }
        let found = try await resolve(target, user)
        let isOwner = user.isRoot || user.uid == found.uid
        let both = times ?? (.now, .now)
        let isTouch = both.0.nanoseconds == Time.now.nanoseconds && both.1.nanoseconds == Time.now.nanoseconds
        if !isOwner {
            guard isTouch else { throw fail(EPERM) }
            guard try await may(user, Self.write, found) else { throw fail(EACCES) }
        }
        let now = clock.wallTime
        func stamp(_ time: Time) -> Timestamp? {
            switch time.nanoseconds {
            case Time.omit.nanoseconds: nil
            case Time.now.nanoseconds: now
            default: time.seconds * 1_000_000_000 + time.nanoseconds
            }
        }
        _ = try await files.setAttributes(
            found.inode, AttributeChange(accessed: stamp(both.0), modified: stamp(both.1)), size: nil, handle: nil)
    }

    // MARK: Extended attributes

    private func onXattrs(_ call: Call, _ user: User) async throws -> Returned? {
        switch call {
        case .getXattr(let target, let name, let room):
            try check(name)
            let found = try await resolve(target, user)
            try await mayXattr(found, name, user, writes: false)
            let value = try await files.xattr(found.inode, name: name)
            return try fitting(value, room)
        case .listXattr(let target, let room):
            let found = try await resolve(target, user)
            let names = try await files.xattrNames(found.inode).filter { user.isRoot || !$0.starts(with: "trusted.".utf8) }
            return try fitting(names.flatMap { $0 + [0] }, room)
        case .setXattr(let target, let name, let value, let flags):
            guard flags & ~3 == 0 else { throw fail(EINVAL) }
            try check(name)
            guard value.count <= 65_536 else { throw fail(E2BIG) }
            let found = try await resolve(target, user)
            if ListEntries.isName(name) {
                try await setList(found, name, value, user)
                break
            }
            try await mayXattr(found, name, user, writes: true)
            guard let mode = XattrMode(rawValue: UInt8(flags)) else { throw fail(EINVAL) }
            try await files.setXattr(found.inode, name: name, value: value, mode: mode, groups: nil)
        case .removeXattr(let target, let name):
            try check(name)
            let found = try await resolve(target, user)
            if ListEntries.isName(name) {
                try await setList(found, name, [], user)
                break
            }
            try await mayXattr(found, name, user, writes: true)
            try await files.removeXattr(found.inode, name: name)
        default: return nil
        }
        return .number(0)
    }

    /// posix_acl_from_xattr and set_posix_acl: no value and one without entries take the list away.
    private func setList(_ found: Attributes, _ name: [UInt8], _ value: [UInt8], _ user: User) async throws {
        if !value.isEmpty {
            guard value.count >= 4 else { throw fail(EINVAL) }
            guard value.prefix(4) == [2, 0, 0, 0] else { throw fail(EOPNOTSUPP) }
            guard value.count % 8 == 4 else { throw fail(EINVAL) }
        }
        guard found.kind != .symlink else { throw fail(EOPNOTSUPP) }
        if found.kind != .directory, name != ListEntries.accessName {
            if value.count > 4 { throw fail(EACCES) }
            return
        }
        guard user.isRoot || user.uid == found.uid else { throw fail(EPERM) }
        if value.count > 4 {
            try await files.setXattr(found.inode, name: name, value: value, mode: .any, groups: user.isRoot ? nil : user.groups + [user.gid])
        } else {
            try await files.removeXattr(found.inode, name: name)
        }
    }

    private func fitting(_ bytes: [UInt8], _ room: Int) throws -> Returned {
        guard room > 0 else { return .number(Int64(bytes.count)) }
        guard bytes.count <= room else { throw fail(ERANGE) }
        return .bytes(bytes)
    }

    private func check(_ name: [UInt8]) throws { guard (1...255).contains(name.count) else { throw fail(ERANGE) } }

    /// xattr_permission, cap_inode_setxattr, and what the mount takes.
    private func mayXattr(_ found: Attributes, _ name: [UInt8], _ user: User, writes: Bool) async throws {
        func begins(_ prefix: String) -> Bool { name.starts(with: prefix.utf8) }
        let wanted = writes ? Self.write : Self.read
        if begins("trusted.") {
            guard user.isRoot else { throw fail(writes ? EPERM : ENODATA) }
        } else if begins("user.") {
            guard found.kind == .file || found.kind == .directory else { throw fail(writes ? EPERM : ENODATA) }
            if found.kind == .directory, found.mode & 0o1000 != 0, writes, !user.isRoot, user.uid != found.uid { throw fail(EPERM) }
            guard try await may(user, wanted, found) else { throw fail(EACCES) }
        } else if begins("security.") {
            guard user.isRoot || !writes else { throw fail(EPERM) }
        } else if ListEntries.isName(name) {
            guard found.kind != .symlink else { throw fail(EOPNOTSUPP) }
        } else if begins("system.") {
            throw fail(EOPNOTSUPP)
        } else {
            guard try await may(user, wanted, found) else { throw fail(EACCES) }
            throw fail(EOPNOTSUPP)
        }
        if name.last == 0x2E, name.filter({ $0 == 0x2E }).count == 1 { throw fail(EOPNOTSUPP) }
    }
}

extension Status {
    init(_ attributes: Attributes) {
        self.init()
        mode = UInt32(attributes.mode) | attributes.kind.typeBits
        links = attributes.links
        uid = attributes.uid
        gid = attributes.gid
        inode = attributes.inode.rawValue
        size = attributes.size
        blocks = (attributes.allocated + 511) / 512
        device = UInt64(attributes.device)
        accessed = Time(attributes.accessed)
        modified = Time(attributes.modified)
        changed = Time(attributes.changed)
    }
}

extension Time {
    init(_ stamp: Timestamp) {
        let second: Timestamp = 1_000_000_000
        let seconds = stamp >= 0 ? stamp / second : -((-stamp + second - 1) / second)
        self.init(seconds, stamp - seconds * second)
    }
}

extension FileKind {
    var typeBits: UInt32 {
        switch self {
        case .file: Flags.file
        case .directory: Flags.directoryType
        case .symlink: Flags.symlink
        case .fifo: Flags.fifo
        case .socket: Flags.socket
        case .characterDevice: Flags.characterDevice
        case .blockDevice: Flags.blockDevice
        }
    }
}
