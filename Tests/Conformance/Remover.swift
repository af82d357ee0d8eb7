import CSystem
import Glibc

/// Removes trees, as rm -rf. By descriptors, since paths may get too long.
enum Remover {
    static func remove(_ path: String) {
        guard CSystem_unlinkat(AT_FDCWD, path, 0) != 0 else { return }
        empty(AT_FDCWD, Array(path.utf8))
        _ = CSystem_unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
    }

    private static func empty(_ parent: Int32, _ name: [UInt8]) {
        let text = (name + [0]).map { CChar(bitPattern: $0) }
        let directory = CSystem_openat(parent, text, O_RDONLY | Flags.directory | Flags.noFollow, 0)
        guard directory >= 0 else { return }
        // All names first: removing while reading is for the cases to test.
        var names: [[UInt8]] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = room.withUnsafeMutableBytes { buffer in buffer.baseAddress.map { CSystem_entries(Int32(directory), $0, 65_536) } ?? 0 }
            guard count > 0 else { break }
            names += KernelCalls.parsed(Array(room.prefix(count))).map(\.name)
        }
        for name in names where name != [0x2E] && name != [0x2E, 0x2E] {
            let text = (name + [0]).map { CChar(bitPattern: $0) }
            guard CSystem_unlinkat(Int32(directory), text, 0) != 0 else { continue }
            empty(Int32(directory), name)
            _ = CSystem_unlinkat(Int32(directory), text, AT_REMOVEDIR)
        }
        _ = CSystem_close(Int32(directory))
    }
}
