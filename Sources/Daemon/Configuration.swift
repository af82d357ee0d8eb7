package import Telemetry

/// Settings of a node. Later sources win: defaults, the file `node.conf`, environment variables `DHTFS_<KEY>`, flags.
package struct Configuration: Equatable, Sendable {
    /// Where the daemon listens for other machines. Default 0.0.0.0:7070.
    package var listen = HostPort(host: "0.0.0.0", port: 7070)
    /// What other machines are told to connect to; nil: `listen`.
    package var advertise: HostPort?
    /// Tells which daemons share a machine; nil: this machine's id.
    package var machine: String?
    /// A failure domain, such as a rack; replicas go to different ones while there are any.
    package var zone = ""
    /// Share of the blocks relative to other nodes. 1 ... 64.
    package var weight = 1
    package var logLevel = LogLevel.info
    /// Disk space that stays free on the node: below it puts are refused. In MiB.
    package var reserveMebibytes = 256
    /// Memory of a mount for blocks, clean and dirty. In MiB.
    package var cacheMebibytes = 256
    /// The part of it that may be dirty. In MiB.
    package var dirtyMebibytes = 128
    /// The kernel's read-ahead of a mount. In KiB.
    package var readAheadKibibytes = 4096
    /// The kernel's requests come through io_uring, where it can do that.
    package var usesQueues = true
    /// How long an operation waits for the cluster before it fails with EIO. In seconds.
    package var deadlineSeconds = 60

    package init() {}

    /// Keys in the order of the example file.
    package static let keys = [
        "listen", "advertise", "machine", "zone", "weight", "log_level", "reserve_mb", "cache_mb", "dirty_mb", "read_ahead_kb", "io_uring", "deadline_s",
    ]

    /// Applies a file's text: lines `key = value`, `#` starts a comment.
    /// - Throws: `.usage` naming file, line and what is wrong with it.
    package mutating func apply(text: String, path: String) throws(DaemonError) {
        var number = 0
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            let content = line.prefix { $0 != "#" }.trimmed
            if content.isEmpty { continue }
            let parts = content.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { throw DaemonError(.usage, "\(path) line \(number): expected `key = value`") }
            try set(String(parts[0].trimmed), String(parts[1].trimmed), source: "\(path) line \(number)")
        }
    }

    /// Applies variables such as `DHTFS_LOG_LEVEL`.
    package mutating func apply(environment: (String) -> String?) throws(DaemonError) {
        for key in Self.keys {
            let variable = "DHTFS_" + key.uppercased()
            if let value = environment(variable) { try set(key, value, source: variable) }
        }
    }

    /// Sets one key.
    /// - Throws: `.usage` naming `source`, the key and what is wrong.
    package mutating func set(_ key: String, _ value: String, source: String) throws(DaemonError) {
        func number(_ range: ClosedRange<Int>) throws(DaemonError) -> Int {
            guard let number = Int(value), range.contains(number) else {
                throw DaemonError(.usage, "\(source): \(key) must be a number from \(range.lowerBound) to \(range.upperBound), not \"\(value)\"")
            }
            return number
        }
        func address() throws(DaemonError) -> HostPort {
            guard let address = HostPort(value) else {
                throw DaemonError(.usage, "\(source): \(key) must be HOST:PORT, such as 192.168.1.5:7070, not \"\(value)\"")
            }
            return address
        }
        switch key {
        case "listen": listen = try address()
        case "advertise": advertise = try address()
        case "machine":
            guard (1...64).contains(value.utf8.count) else { throw DaemonError(.usage, "\(source): machine must have 1 to 64 bytes") }
            machine = value
        case "zone":
            guard value.utf8.count <= 64 else { throw DaemonError(.usage, "\(source): zone must have at most 64 bytes") }
            zone = value
        case "weight": weight = try number(1...64)
        case "log_level":
            guard let level = LogLevel.allCases.first(where: { $0.name == value }) else {
                throw DaemonError(.usage, "\(source): log_level must be debug, info, warning or error, not \"\(value)\"")
            }
            logLevel = level
        case "reserve_mb": reserveMebibytes = try number(0...1_048_576)
        case "cache_mb": cacheMebibytes = try number(16...1_048_576)
        case "dirty_mb": dirtyMebibytes = try number(8...524_288)
        case "read_ahead_kb": readAheadKibibytes = try number(0...1_048_576)
        case "io_uring":
            guard value == "yes" || value == "no" else { throw DaemonError(.usage, "\(source): io_uring must be yes or no, not \"\(value)\"") }
            usesQueues = value == "yes"
        case "deadline_s": deadlineSeconds = try number(1...86_400)
        default: throw DaemonError(.usage, "\(source): unknown key \"\(key)\"; known are \(Self.keys.joined(separator: ", "))")
        }
    }
}

/// A host and a port.
package struct HostPort: Equatable, Sendable, CustomStringConvertible {
    /// Without brackets.
    package var host: String
    package var port: UInt16

    package init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Parses `host:port` and `[v6]:port`; nil for anything else.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") { host = host.dropFirst().dropLast() } else if host.contains(":") { return nil }
        guard (1...255).contains(host.utf8.count), !host.utf8.contains(where: { $0 <= 0x20 }) else { return nil }
        self.init(host: String(host), port: port)
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension StringProtocol {
    /// Without spaces and tabs at both ends.
    fileprivate var trimmed: SubSequence {
        let start = firstIndex { $0 != " " && $0 != "\t" && $0 != "\r" } ?? endIndex
        let rest = self[start...]
        guard let last = rest.lastIndex(where: { $0 != " " && $0 != "\t" && $0 != "\r" }) else { return rest }
        return rest[...last]
    }
}
