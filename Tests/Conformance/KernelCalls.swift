import CSystem
import Glibc

/// Calls of the kernel, on a directory of a real filesystem. To be used by one thread.
package final class KernelCalls: SystemCalls {
    private let tree: String
    private var base: Int32 = -1
    private var name = ""
    private let thread: KernelThread
    private var mask: UInt32 = 0
    /// Real descriptors by number; nil: free.
    private var descriptors: [Int32?] = []

    /// - Parameter tree: a directory, in which `enter` makes others.
    package init(tree: String, thread: KernelThread) {
        self.tree = tree
        self.thread = thread
    }

    package func tick() { CSystem_pause_milliseconds(12) }

    package func enter(_ name: String) throws(Failure) {
        thread.become(.root)
        let path = tree + "/" + name
        Remover.remove(path)
        let result = CSystem_mkdirat(AT_FDCWD, path, 0o777)
        guard result == 0 || result == -Int(EEXIST) else { throw Failure("mkdir \(path): \(ErrorName.of(Int32(-result)))") }
        try join(name)
    }

    package func join(_ name: String) throws(Failure) {
        thread.become(.root)
        let path = tree + "/" + name
        let result = CSystem_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0)
        guard result >= 0 else { throw Failure("open \(path): \(ErrorName.of(Int32(-result)))") }
        base = Int32(result)
        self.name = name
    }

    package func leave() {
        part()
        Remover.remove(tree + "/" + name)
    }

    package func part() {
        thread.become(.root)
        mask = 0
        for descriptor in descriptors { if let descriptor { _ = CSystem_close(descriptor) } }
        descriptors = []
        if base >= 0 { _ = CSystem_close(base) }
        base = -1
        let root = CSystem_openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0)
        if root >= 0 {
            _ = CSystem_change_directory(Int32(root))
            _ = CSystem_close(Int32(root))
        }
    }

    // MARK: Descriptors

    private func add(_ result: Int) -> Returned {
        guard result >= 0 else { return .failed(Int32(-result)) }
        if let free = descriptors.firstIndex(where: { $0 == nil }) {
            descriptors[free] = Int32(result)
            return .number(Int64(free))
        }
        descriptors.append(Int32(result))
        return .number(Int64(descriptors.count - 1))
    }

    /// -1, of which the kernel says EBADF, for a number that is not open.
    private func real(_ number: Int) -> Int32 { descriptors.indices.contains(number) ? descriptors[number] ?? -1 : -1 }

    private func directory(_ path: Path) -> Int32 { path.directory.map(real) ?? base }

    private func withPath<Result>(_ path: Path, _ body: (Int32, UnsafePointer<CChar>) -> Result) -> Result {
        withText(path.bytes) { body(directory(path), $0) }
    }

    private func withText<Result>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (bytes + [0]).map { CChar(bitPattern: $0) }.withUnsafeBufferPointer { buffer in
            guard let address = buffer.baseAddress else { preconditionFailure("a zero is in it") }
            return body(address)
        }
    }

    /// For calls that know no directory but the working one.
    private func here<Result>(_ path: Path, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
        _ = CSystem_change_directory(directory(path))
        return withText(path.bytes, body)
    }

    private func number(_ result: Int) -> Returned { result < 0 ? .failed(Int32(-result)) : .number(Int64(result)) }

    private func filled(_ room: Int, _ body: (UnsafeMutableRawPointer) -> Int) -> Returned {
        var bytes = [UInt8](repeating: 0, count: max(1, room))
        let result = bytes.withUnsafeMutableBytes { buffer -> Int in
            guard let address = buffer.baseAddress else { return -Int(EFAULT) }
            return body(address)
        }
        guard result >= 0 else { return .failed(Int32(-result)) }
        return .bytes(Array(bytes.prefix(result)))
    }

    private func with(_ bytes: [UInt8], _ body: (UnsafeRawPointer, Int) -> Int) -> Returned {
        // An empty array may have no address.
        let result = (bytes + [0]).withUnsafeBytes { buffer -> Int in
            guard let address = buffer.baseAddress else { return -Int(EFAULT) }
            return body(address, bytes.count)
        }
        return number(result)
    }

    // MARK: Calls

    package func perform(_ call: Call, as user: User) -> Returned {
        if case .umask(let new) = call {
            defer { mask = new & 0o777 }
            return .number(Int64(mask))
        }
        thread.become(user, mask: mask)
        return onFiles(call) ?? onNames(call) ?? onAttributes(call) ?? onRealTrees(call) ?? .failed(ENOSYS)
    }

    private func onFiles(_ call: Call) -> Returned? {
        switch call {
        case .open(let path, let flags, let mode): return add(withPath(path) { CSystem_openat($0, $1, flags, mode) })
        case .close(let number):
            let descriptor = real(number)
            if descriptors.indices.contains(number) { descriptors[number] = nil }
            return self.number(CSystem_close(descriptor))
        case .duplicate(let number): return add(CSystem_dup(real(number)))
        case .setFlags(let number, let flags): return self.number(CSystem_set_flags(real(number), flags))
        case .read(let number, let count): return filled(count) { CSystem_read(real(number), $0, count) }
        case .write(let number, let bytes): return with(bytes) { CSystem_write(real(number), $0, $1) }
        case .pread(let number, let count, let offset): return filled(count) { CSystem_pread(real(number), $0, count, offset) }
        case .pwrite(let number, let bytes, let offset): return with(bytes) { CSystem_pwrite(real(number), $0, $1, offset) }
        case .preadFlags(let number, let count, let offset, let flags): return filled(count) { CSystem_preadv2(real(number), $0, count, offset, flags) }
        case .pwriteFlags(let number, let bytes, let offset, let flags): return with(bytes) { CSystem_pwritev2(real(number), $0, $1, offset, flags) }
        case .seek(let number, let offset, let whence): return self.number(CSystem_lseek(real(number), offset, whence))
        case .truncate(.descriptor(let number), let size): return self.number(CSystem_ftruncate(real(number), size))
        case .truncate(.path(let path), let size), .truncate(.link(let path), let size): return number(here(path) { CSystem_truncate($0, size) })
        case .allocate(let number, let mode, let offset, let length): return self.number(CSystem_fallocate(real(number), mode, offset, length))
        case .sync(let number, let dataOnly): return self.number(dataOnly ? CSystem_fdatasync(real(number)) : CSystem_fsync(real(number)))
        case .copyRange(let from, let offset, let to, let toOffset, let count, let flags):
            var (offset, toOffset) = (offset, toOffset)
            return number(
                Self.withOptional(&offset) { first in
                    Self.withOptional(&toOffset) { CSystem_copy_file_range(real(from), first, real(to), $0, count, flags) }
                })
        case .entries(let number, let room):
            guard case .bytes(let bytes) = filled(room, { CSystem_entries(real(number), $0, room) }) else {
                return filled(room) { CSystem_entries(real(number), $0, room) }
            }
            return .entries(Self.parsed(bytes))
        default: return nil
        }
    }

    private static func withOptional(_ value: inout Int64?, _ body: (UnsafeMutablePointer<Int64>?) -> Int) -> Int {
        guard var present = value else { return body(nil) }
        let result = withUnsafeMutablePointer(to: &present, body)
        value = present
        return result
    }

    /// struct linux_dirent64, getdents64(2).
    static func parsed(_ bytes: [UInt8]) -> [Entry] {
        var entries: [Entry] = []
        var position = 0
        bytes.withUnsafeBytes { raw in
            while position + 19 <= raw.count {
                let length = Int(raw.loadUnaligned(fromByteOffset: position + 16, as: UInt16.self))
                guard length >= 19, position + length <= raw.count else { break }
                let name = raw[(position + 19)..<(position + length)].prefix { $0 != 0 }
                entries.append(
                    Entry(
                        name: Array(name), inode: raw.loadUnaligned(fromByteOffset: position, as: UInt64.self), kind: raw[position + 18],
                        next: raw.loadUnaligned(fromByteOffset: position + 8, as: Int64.self)))
                position += length
            }
        }
        return entries
    }

    private func onNames(_ call: Call) -> Returned? {
        switch call {
        case .makeDirectory(let path, let mode): return number(withPath(path) { CSystem_mkdirat($0, $1, mode) })
        case .removeDirectory(let path): return number(withPath(path) { CSystem_unlinkat($0, $1, AT_REMOVEDIR) })
        case .unlink(let path): return number(withPath(path) { CSystem_unlinkat($0, $1, 0) })
        case .rename(let path, let other, let flags):
            return number(withPath(path) { from, text in withPath(other) { CSystem_renameat2(from, text, $0, $1, flags) } })
        case .link(let path, let other, let follow):
            return number(withPath(path) { from, text in withPath(other) { CSystem_linkat(from, text, $0, $1, follow ? AT_SYMLINK_FOLLOW : 0) } })
        case .linkDescriptor(let number, let path):
            // AT_EMPTY_PATH
            return self.number(withPath(path) { CSystem_linkat(real(number), "", $0, $1, 0x1000) })
        case .symlink(let target, let path): return number(withText(target) { text in withPath(path) { CSystem_symlinkat(text, $0, $1) } })
        case .readLink(let path): return filled(8192) { bytes in withPath(path) { CSystem_readlinkat($0, $1, bytes, 8192) } }
        case .makeNode(let path, let mode, let device): return number(withPath(path) { CSystem_mknodat($0, $1, mode, device) })
        default: return nil
        }
    }

    private func onAttributes(_ call: Call) -> Returned? {
        switch call {
        case .status(let target):
            var status = CSystem_status()
            let result =
                switch target {
                case .path(let path): withPath(path) { CSystem_statx($0, $1, 0, &status) }
                case .link(let path): withPath(path) { CSystem_statx($0, $1, AT_SYMLINK_NOFOLLOW, &status) }
                case .descriptor(let number): CSystem_statx(real(number), "", 0x1000, &status)
                }
            return result < 0 ? .failed(Int32(-result)) : .status(Status(status))
        case .chmod(.descriptor(let number), let mode): return self.number(CSystem_fchmod(real(number), mode))
        case .chmod(.path(let path), let mode), .chmod(.link(let path), let mode): return number(withPath(path) { CSystem_fchmodat($0, $1, mode) })
        case .chown(let target, let uid, let gid):
            let (uid, gid) = (uid ?? .max, gid ?? .max)
            let result =
                switch target {
                case .path(let path): withPath(path) { CSystem_fchownat($0, $1, uid, gid, 0) }
                case .link(let path): withPath(path) { CSystem_fchownat($0, $1, uid, gid, AT_SYMLINK_NOFOLLOW) }
                case .descriptor(let number): CSystem_fchownat(real(number), "", uid, gid, 0x1000)
                }
            return number(result)
        case .setTimes(let target, let times):
            let flat = times.map { [$0.0.seconds, $0.0.nanoseconds, $0.1.seconds, $0.1.nanoseconds] }
            func set(_ directory: Int32, _ text: UnsafePointer<CChar>?, _ flags: Int32) -> Int {
                guard let flat else { return CSystem_utimensat(directory, text, nil, flags) }
                return flat.withUnsafeBufferPointer { CSystem_utimensat(directory, text, $0.baseAddress, flags) }
            }
            let result =
                switch target {
                case .path(let path): withPath(path) { set($0, $1, 0) }
                case .link(let path): withPath(path) { set($0, $1, AT_SYMLINK_NOFOLLOW) }
                case .descriptor(let number): set(real(number), nil, 0)
                }
            return number(result)
        case .access(let path, let mode): return number(withPath(path) { CSystem_faccessat($0, $1, mode, 0) })
        case .space(let path):
            var space = CSystem_space()
            let result = here(path) { CSystem_statfs($0, &space) }
            guard result == 0 else { return .failed(Int32(-result)) }
            return .space(
                Space(
                    blockSize: space.block_size, fragmentSize: space.fragment_size, blocks: space.blocks, free: space.free, available: space.available,
                    files: space.files, freeFiles: space.free_files, nameMax: space.name_max))
        case .getXattr(let target, let name, let room):
            return withText(name) { name in
                room == 0
                    ? number(on(target) { CSystem_getxattr($0, $1, $2, name, nil, 0) })
                    : filled(room) { bytes in on(target) { CSystem_getxattr($0, $1, $2, name, bytes, room) } }
            }
        case .setXattr(let target, let name, let value, let flags):
            return withText(name) { name in with(value) { bytes, count in on(target) { CSystem_setxattr($0, $1, $2, name, bytes, count, flags) } } }
        case .listXattr(let target, let room):
            return room == 0
                ? number(on(target) { CSystem_listxattr($0, $1, $2, nil, 0) })
                : filled(room) { bytes in on(target) { CSystem_listxattr($0, $1, $2, bytes, room) } }
        case .removeXattr(let target, let name): return withText(name) { name in number(on(target) { CSystem_removexattr($0, $1, $2, name) }) }
        default: return nil
        }
    }

    private func on(_ target: Target, _ body: (UnsafePointer<CChar>?, Int32, Int32) -> Int) -> Int {
        switch target {
        case .path(let path): here(path) { body($0, -1, 1) }
        case .link(let path): here(path) { body($0, -1, 0) }
        case .descriptor(let number): body(nil, real(number), 0)
        }
    }

    private func onRealTrees(_ call: Call) -> Returned? {
        switch call {
        case .mapRead(let number, let count, let offset, let isPrivate):
            return filled(count) { CSystem_map_read(real(number), offset, $0, count, isPrivate ? 1 : 0) }
        case .mapWrite(let number, let bytes, let offset, let isPrivate):
            return with(bytes) { CSystem_map_write(real(number), offset, $0, $1, isPrivate ? 1 : 0) }
        case .listen(let path): return add(here(path) { CSystem_listen($0) })
        case .connect(let path): return number(here(path) { CSystem_connect($0) })
        case .execute(let path): return number(here(path) { CSystem_execute($0) })
        case .ioctl(let number, let request):
            var room = [UInt8](repeating: 0, count: 256)
            return self.number(room.withUnsafeMutableBytes { CSystem_ioctl_number(real(number), request, $0.baseAddress) })
        default: return nil
        }
    }
}

extension Status {
    init(_ status: CSystem_status) {
        self.init()
        mode = status.mode
        links = status.links
        uid = status.uid
        gid = status.gid
        inode = status.inode
        size = status.size
        blocks = status.blocks
        device = status.device
        accessed = Time(status.accessed.0, status.accessed.1)
        modified = Time(status.modified.0, status.modified.1)
        changed = Time(status.changed.0, status.changed.1)
    }
}
