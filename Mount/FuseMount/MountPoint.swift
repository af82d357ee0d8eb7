import CFuse
import Glibc
import Telemetry

/// One line of /proc/self/mountinfo (proc(5)), as far as it is needed here.
struct MountEntry: Equatable, Sendable {
    /// "major:minor" of the mounted filesystem, as sysfs names its bdi entry.
    var device: String
    var path: String
    /// Such as "ext4" or "fuse.dhtfs".
    var type: String

    /// nil where the line is not in the format of proc(5).
    init?(line: Substring) {
        let fields = line.split(separator: " ", omittingEmptySubsequences: true)
        guard fields.count >= 10, let separator = fields[6...].firstIndex(of: "-"), separator + 1 < fields.count else { return nil }
        device = String(fields[2])
        path = Self.unescaped(fields[4])
        type = String(fields[separator + 1])
    }

    /// Space, tab, newline and backslash stand there as \ooo in octal.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The directory to mount on. All calls block; never on the loop.
package enum MountPoint {
    /// Checks that `path` can be mounted on and returns it without symlinks. What a killed process of ours left mounted there is
    /// unmounted first.
    static func prepare(_ path: String, _ log: Log) throws(FuseMountError) -> String {
        // One layer per killed process; the limit only stops a loop that makes no progress.
        for _ in 0..<16 {
            if isDead(path) {
                try removeStale(path, log)
                continue
            }
            var status = stat()
            guard stat(path, &status) == 0 else { throw failure(path, errno) }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw FuseMountError(.notDirectory, "mount point \(path) is not a directory")
            }
            guard let resolved = resolve(path) else { throw failure(path, errno) }
            if let mounted = top(at: resolved) {
                throw FuseMountError(.busy, "mount point \(path) is busy: a \(mounted.type) filesystem is mounted there")
            }
            return resolved
        }
        throw FuseMountError(.busy, "mount point \(path) is busy: dead mounts lie on it; unmount them with umount -l \(path)")
    }

    /// Whether what a killed process served lies at `path`: its channel is closed or being closed (`fuse_get_req`, fs/fuse/dev.c), or the thread of a queue is
    /// gone (`fuse_uring_send_in_task`, fs/fuse/dev_uring.c) and the channel, which io_uring gives back after the process has ended, is not closed yet. Asks for the
    /// space, which the kernel has in no cache, as it has attributes.
    package static func isDead(_ path: String) -> Bool {
        var space = statvfs()
        return statvfs(path, &space) != 0 && [ENOTCONN, ECONNABORTED, ECANCELED].contains(errno)
    }

    private static func removeStale(_ path: String, _ log: Log) throws(FuseMountError) {
        let resolved = resolveStale(path)
        if let mounted = top(at: resolved), mounted.type != "fuse.dhtfs" {
            throw FuseMountError(
                .busy, "mount point \(path) is busy: a dead \(mounted.type) mount lies on it; unmount it with umount -l \(path)")
        }
        log.warning("unmounting what a killed mount process left behind", ["path": path])
        guard umount2(resolved, CInt(MNT_DETACH)) == 0 else {
            let code = errno
            throw FuseMountError(
                code == EPERM ? .notPermitted : .busy,
                "mount point \(path) has a dead mount that cannot be removed: \(text(code)); run fusermount3 -uz \(path)")
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> FuseMountError {
        switch code {
        case ENOENT: FuseMountError(.missing, "mount point \(path) does not exist; create it with mkdir -p \(path)")
        case ENOTDIR: FuseMountError(.notDirectory, "mount point \(path) is not a directory")
        case EACCES, EPERM: FuseMountError(.notPermitted, "mount point \(path) cannot be reached: \(text(code))")
        default: FuseMountError(.failed, "mount point \(path) cannot be used: \(text(code))")
        }
    }

    /// Fails with one clear line unless /dev/fuse can be opened.
    static func checkDevice() throws(FuseMountError) {
        let descriptor = Glibc.open("/dev/fuse", O_RDWR | O_CLOEXEC)
        if descriptor >= 0 {
            close(descriptor)
            return
        }
        let code = errno
        switch code {
        case ENOENT, ENODEV, ENXIO:
            throw FuseMountError(.noDevice, "there is no FUSE device: \(text(code)); load the module with modprobe fuse")
        case EACCES, EPERM:
            throw FuseMountError(.notPermitted, "/dev/fuse may not be used: \(text(code)); in a container pass it with --device /dev/fuse")
        default:
            throw FuseMountError(.noDevice, "/dev/fuse cannot be opened: \(text(code))")
        }
    }

    /// The filesystem that is mounted last at `path`, which has no symlinks.
    static func top(at path: String) -> MountEntry? {
        guard let table = contents(of: "/proc/self/mountinfo") else { return nil }
        return table.split(separator: "\n").compactMap { MountEntry(line: $0) }.last { $0.path == path }
    }

    /// Sets the kernel's read-ahead window of a mounted filesystem. Returns the system's error number, 0 if it is set.
    static func setReadAhead(_ device: String, kibibytes: Int) -> Int32 {
        let descriptor = Glibc.open("/sys/class/bdi/\(device)/read_ahead_kb", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        let value = Array("\(kibibytes)\n".utf8)
        return write(descriptor, value, value.count) == value.count ? 0 : errno
    }

    /// The whole of a small file of /proc; nil if it cannot be read or is over 16 MiB.
    static func contents(of path: String) -> String? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while content.count < 16 << 20 {
            let count = read(descriptor, &part, part.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { return String(decoding: content, as: UTF8.self) }
            content.append(contentsOf: part[..<count])
        }
        return nil
    }

    private static func resolve(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Like `resolve`, where the last part itself cannot be looked at.
    private static func resolveStale(_ path: String) -> String {
        var trimmed = path[...]
        while trimmed.count > 1 && trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        let name = trimmed.split(separator: "/").last.map(String.init) ?? ""
        let parent = String(trimmed.dropLast(name.count))
        guard let resolved = resolve(parent.isEmpty ? "." : parent) else { return path }
        return resolved == "/" ? "/\(name)" : "\(resolved)/\(name)"
    }

    static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}
