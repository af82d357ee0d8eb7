import Daemon
import Runtime
import Glibc

/// `dhtfs unmount`.
enum UnmountCommand {
    static let command = Command(
        name: "unmount", summary: "write back everything and unmount", operands: ["MOUNTPOINT"],
        flags: [Flag("--lazy", nil, "detach even if files are open; they stay usable until they are closed")], run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let path = LocalFile.absolute(arguments.operands[0])
        try unmount(path, lazy: arguments.isOn("--lazy"))
        return 0
    }

    /// - Throws: `.system` if `path` is no mount of dhtfs or is busy.
    static func unmount(_ path: String, lazy: Bool) throws(DaemonError) {
        guard let entry = MountTable.entry(at: path) else { throw DaemonError(.system, "\(path) is not mounted") }
        guard entry.type == "fuse.dhtfs" else { throw DaemonError(.system, "\(path) is a mount of \(entry.type), not of dhtfs") }
        let process = MountRecord.process(path)
        if umount2(path, lazy ? Int32(MNT_DETACH) : 0) == 0 {
            // The kernel is done with the mount; the process ends when it has written back what it still holds. A lazy unmount lives on with its
            // open files, so there is nothing to wait for.
            if let process, !lazy { LocalProcess.waitForEnd(of: process, named: "dhtfs") }
            return
        }
        let reason = errno
        guard reason == EBUSY else { throw DaemonError(.system, "cannot unmount \(path): \(String(cString: strerror(reason)))") }
        throw DaemonError(.system, "\(path) is in use; leave it (cd, open files; `fuser -vm \(path)` names them) or add --lazy")
    }
}

/// The mounts of this machine (proc(5), /proc/self/mounts).
enum MountTable {
    struct Entry {
        var source: String
        var path: String
        var type: String
    }

    /// The topmost mount at exactly this path.
    static func entry(at path: String) -> Entry? { all().last { $0.path == path } }

    static func all() -> [Entry] {
        guard let content = try? LocalFile.read("/proc/self/mounts") else { return [] }
        return content.split(separator: 0x0A).compactMap { line in
            let fields = line.split(separator: 0x20).prefix(3).map(unescaped)
            return fields.count == 3 ? Entry(source: fields[0], path: fields[1], type: fields[2]) : nil
        }
    }

    /// Spaces, tabs, newlines and backslashes stand as three octal digits after a backslash.
    private static func unescaped(_ field: ArraySlice<UInt8>) -> String {
        var bytes: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == 0x5C, digits.count == 3, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
