import Glibc

/// Names of error numbers.
package enum ErrorName {
    private static let names: [Int32: String] = [
        0: "success", EPERM: "EPERM", ENOENT: "ENOENT", EIO: "EIO", ENXIO: "ENXIO", E2BIG: "E2BIG", EBADF: "EBADF", EAGAIN: "EAGAIN", ENOMEM: "ENOMEM",
        EACCES: "EACCES", EFAULT: "EFAULT", EBUSY: "EBUSY", EEXIST: "EEXIST", EXDEV: "EXDEV", ENODEV: "ENODEV", ENOTDIR: "ENOTDIR", EISDIR: "EISDIR",
        EINVAL: "EINVAL", ENFILE: "ENFILE", EMFILE: "EMFILE", ENOTTY: "ENOTTY", ETXTBSY: "ETXTBSY", EFBIG: "EFBIG", ENOSPC: "ENOSPC", ESPIPE: "ESPIPE",
        EROFS: "EROFS", EMLINK: "EMLINK", EPIPE: "EPIPE", ERANGE: "ERANGE", ENAMETOOLONG: "ENAMETOOLONG", ENOSYS: "ENOSYS", ENOTEMPTY: "ENOTEMPTY",
        ELOOP: "ELOOP", ENODATA: "ENODATA", EOPNOTSUPP: "EOPNOTSUPP", ESTALE: "ESTALE", EOVERFLOW: "EOVERFLOW", ENOTCONN: "ENOTCONN",
        ECONNREFUSED: "ECONNREFUSED", EADDRINUSE: "EADDRINUSE", ENOEXEC: "ENOEXEC", EDQUOT: "EDQUOT", EINTR: "EINTR", ETIMEDOUT: "ETIMEDOUT",
    ]

    package static func of(_ code: Int32) -> String { names[code] ?? "errno \(code)" }
}

extension Returned: CustomStringConvertible {
    package var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .bytes(let bytes): bytes.count <= 40 ? "\"\(Path.shown(bytes))\"" : "\(bytes.count) bytes \"\(Path.shown(bytes.prefix(16)))…\""
        case .status(let status): "\(status)"
        case .entries(let entries): "[" + entries.map { Path.shown($0.name) }.joined(separator: ", ") + "]"
        case .space(let space): "\(space)"
        case .failed(let code): ErrorName.of(code)
        }
    }
}

extension Call: CustomStringConvertible {
    package var description: String {
        switch self {
        case .open(let path, let flags, let mode): "open(\(path), 0\(String(flags, radix: 8)), 0\(String(mode, radix: 8)))"
        case .write(let descriptor, let bytes): "write([\(descriptor)], \(bytes.count) bytes)"
        case .pwrite(let descriptor, let bytes, let offset): "pwrite([\(descriptor)], \(bytes.count) bytes, \(offset))"
        case .pwriteFlags(let descriptor, let bytes, let offset, let flags): "pwritev2([\(descriptor)], \(bytes.count) bytes, \(offset), \(flags))"
        case .mapWrite(let descriptor, let bytes, let offset, let isPrivate):
            "mmap([\(descriptor)], write \(bytes.count) bytes, \(offset), \(isPrivate ? "private" : "shared"))"
        case .makeDirectory(let path, let mode): "mkdir(\(path), 0\(String(mode, radix: 8)))"
        case .makeNode(let path, let mode, let device): "mknod(\(path), 0\(String(mode, radix: 8)), \(device))"
        case .chmod(let target, let mode): "chmod(\(target), 0\(String(mode, radix: 8)))"
        case .symlink(let target, let path): "symlink(\(Path(target)), \(path))"
        case .getXattr(let target, let name, let room): "getxattr(\(target), \(Path.shown(name)), \(room))"
        case .setXattr(let target, let name, let value, let flags): "setxattr(\(target), \(Path.shown(name.prefix(40))), \(value.count) bytes, \(flags))"
        case .removeXattr(let target, let name): "removexattr(\(target), \(Path.shown(name.prefix(40))))"
        case .rename(let path, let other, let flags): "rename(\(path), \(other), \(flags))"
        case .link(let path, let other, let follow): "link(\(path), \(other)\(follow ? ", followed" : ""))"
        case .status(let target): "stat(\(target))"
        case .unlink(let path): "unlink(\(path))"
        case .removeDirectory(let path): "rmdir(\(path))"
        case .truncate(let target, let size): "truncate(\(target), \(size))"
        case .chown(let target, let uid, let gid): "chown(\(target), \(uid.map { "\($0)" } ?? "-"), \(gid.map { "\($0)" } ?? "-"))"
        case .access(let path, let mode): "access(\(path), \(mode))"
        case .setTimes(let target, let times): "utimensat(\(target), \(times.map { "\($0.0) \($0.1)" } ?? "null"))"
        default: Self.plain(self)
        }
    }

    /// The case's name and its values.
    private static func plain(_ call: Call) -> String {
        guard let child = Mirror(reflecting: call).children.first else { return "call" }
        return "\(child.label ?? "call")\(child.value)"
    }
}
