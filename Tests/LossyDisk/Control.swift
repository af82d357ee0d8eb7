import CPosix
import Glibc

/// The Unix socket that commands come by: one connection, one line, one answer.
struct Control {
    static let help = """
        crash SEED              power loss: what was not synced is dropped, kept or torn as the seed says
        drop                    power loss: all that was not synced is gone
        fail-sync on|off        fsync fails with EIO and gives up what it should have written
        lie on|off              fsync succeeds and does nothing
        fail-write on|off       changes fail with EIO
        fail-read on|off        reading fails with EIO
        capacity BYTES          size of the disk
        delay-ms N              every read, write and sync takes so much longer
        rot SEED COUNT PREFIX   flip COUNT bits in files whose path below the mount begins with PREFIX
        stats                   one line of JSON
        """
    private static let lineMax = 4096

    let listener: Int32
    private let volume: Volume

    init?(path: String, _ volume: Volume) {
        unlink(path)
        listener = CPosix_stream_socket(AF_UNIX)
        guard listener >= 0, CPosix_bind_unix(listener, path) == 0, listen(listener, 16) == 0 else { return nil }
        self.volume = volume
    }

    /// Serves one connection, which is waiting.
    func serve() {
        let peer = accept(listener, nil, nil)
        guard peer >= 0 else { return }
        defer { close(peer) }
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while line.count < Self.lineMax, read(peer, &byte, 1) == 1, byte != 0x0A { line.append(byte) }
        let reply = Array((answer(String(decoding: line, as: UTF8.self)) + "\n").utf8)
        _ = write(peer, reply, reply.count)
    }

    /// Sends a command to a disk; nil if none listens at `path`.
    static func send(_ command: String, to path: String) -> String? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let line = Array((command + "\n").utf8)
        guard CPosix_connect_unix(descriptor, path) == 0, write(descriptor, line, line.count) == line.count else { return nil }
        var reply: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(descriptor, &chunk, chunk.count), count > 0 { reply += chunk[..<count] }
        return String(decoding: reply, as: UTF8.self)
    }

    private func answer(_ line: String) -> String {
        let words = line.split(separator: " ").map(String.init)
        switch (words.first, words.count) {
        case ("crash", 2):
            guard let seed = UInt64(words[1]) else { break }
            volume.losePower(seed: seed)
            return "ok"
        case ("drop", 1):
            volume.losePower(seed: nil)
            return "ok"
        case ("fail-sync", 2): return flag(words[1]) { volume.failsSync = $0 }
        case ("lie", 2): return flag(words[1]) { volume.lies = $0 }
        case ("fail-write", 2): return flag(words[1]) { volume.failsWrite = $0 }
        case ("fail-read", 2): return flag(words[1]) { volume.failsRead = $0 }
        case ("capacity", 2):
            guard let bytes = Int(words[1]), bytes >= 0 else { break }
            volume.capacity = bytes / Page.size
            return "ok"
        case ("delay-ms", 2):
            guard let delay = UInt32(words[1]), delay <= 60_000 else { break }
            volume.delayMilliseconds = delay
            return "ok"
        case ("rot", 3...4):
            guard let seed = UInt64(words[1]), let count = Int(words[2]), (0...100_000).contains(count) else { break }
            let flipped = volume.rot(seed: seed, count: count, below: words.count == 4 ? words[3] : "")
            return (["ok \(flipped.count)"] + flipped).joined(separator: " ")
        case ("stats", 1): return statistics
        default: break
        }
        return "error: not a command: \(line)"
    }

    private func flag(_ word: String, _ set: (Bool) -> Void) -> String {
        guard word == "on" || word == "off" else { return "error: expected on or off, not \(word)" }
        set(word == "on")
        return "ok"
    }

    private var statistics: String {
        let count = volume.statistics
        let files = volume.nodes.values.filter { $0.kind == .file }
        let pairs: [(String, Int)] = [
            ("capacity", volume.capacity * Page.size), ("used", volume.used * Page.size), ("inodes", volume.nodes.count),
            ("dirty_pages", files.reduce(0) { $0 + $1.content.dirty.count }), ("waiting_names", volume.changes.count),
            ("reads", count.reads), ("writes", count.writes), ("syncs", count.syncs), ("failed_syncs", count.failedSyncs),
            ("synced_pages", count.syncedPages), ("power_losses", count.powerLosses), ("dropped_pages", count.droppedPages),
            ("kept_pages", count.keptPages), ("torn_pages", count.tornPages), ("dropped_names", count.droppedNames),
            ("kept_names", count.keptNames), ("flipped_bits", count.flippedBits), ("refused_for_space", count.refusedForSpace),
        ]
        return "{" + pairs.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
    }
}
