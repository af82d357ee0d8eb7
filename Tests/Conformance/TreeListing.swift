import Glibc

/// A whole tree as lines, one for each entry: name, kind, mode, owner, links, size, time of modification if it was set, target, extended attributes,
/// content.
struct TreeListing {
    private(set) var lines: [String] = []
    private let process: Process

    init(_ calls: any SystemCalls) {
        process = Process(calls, .root)
        visit("", depth: 0)
    }

    private mutating func visit(_ path: Path, depth: Int) {
        let here: Path = path.bytes.isEmpty ? "." : path
        do {
            let directory = try process.open(here, O_RDONLY | Flags.directory)
            let entries = try process.list(directory)
            try process.close(directory)
            for entry in entries.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) where entry.name != [0x2E] && entry.name != [0x2E, 0x2E] {
                let child = path.bytes.isEmpty ? Path(entry.name) : Path(path.bytes + [0x2F] + entry.name)
                try add(child)
                if entry.kind == 4, depth < 40 { visit(child, depth: depth + 1) }
            }
        } catch {
            lines.append("\(here): \(error)")
        }
    }

    private mutating func add(_ path: Path) throws {
        let status = try process.lstat(path)
        var line = "\(path) 0\(String(status.mode, radix: 8)) \(status.uid):\(status.gid) links \(status.links)"
        if status.modified <= Agreement.present, status.kind != Flags.fifo { line += " modified \(status.modified)" }
        switch status.kind {
        case Flags.file:
            let content = try process.content(path)
            line += " size \(status.size) content \(content.count) \(Self.digest(content))"
        case Flags.symlink: line += " -> \(try process.readlink(path))"
        case Flags.directoryType: break
        default: line += " size \(status.size) device \(status.device)"
        }
        if case .bytes(let names) = process.perform(.listXattr(.link(path), room: 65_536)) {
            for name in names.split(separator: 0).map(Array.init).sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                line += " \(Path.shown(name))=\(process.perform(.getXattr(.link(path), name: name, room: 65_536)))"
            }
        }
        lines.append(line)
    }

    /// FNV-1a.
    private static func digest(_ bytes: [UInt8]) -> UInt64 { bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } }
}
