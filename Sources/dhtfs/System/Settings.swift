import Daemon
import Glibc

/// Where a command finds its node and how it is configured.
struct Settings: Sendable {
    /// Data directories of this machine that the command may use: one, or those of a local cluster in order.
    var directories: [DataDirectory]
    var configuration: Configuration

    static let defaultData = "/var/lib/dhtfs"

    init(directories: [DataDirectory], configuration: Configuration) {
        self.directories = directories
        self.configuration = configuration
    }

    /// Finds the data directory and reads the configuration in its order of precedence.
    init(_ arguments: Arguments) throws(DaemonError) {
        let path = Self.dataPath(arguments)
        directories = try Self.find(path)
        configuration = Configuration()
        let file = arguments["--config"] ?? directories[0].configurationPath
        if arguments["--config"] != nil || LocalFile.exists(file) {
            let content = try LocalFile.read(file)
            try configuration.apply(text: String(decoding: content, as: UTF8.self), path: file)
        }
        try configuration.apply(environment: Self.variable)
        try Self.apply(arguments["--set"], to: &configuration)
    }

    static func dataPath(_ arguments: Arguments) -> String {
        LocalFile.absolute(arguments["--data"] ?? variable("DHTFS_DATA") ?? defaultData)
    }

    static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Applies `KEY=VALUE,KEY=VALUE`.
    static func apply(_ pairs: String?, to configuration: inout Configuration) throws(DaemonError) {
        for pair in (pairs ?? "").split(separator: ",") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { throw DaemonError(.usage, "--set: expected KEY=VALUE, not \"\(pair)\"") }
            try configuration.set(String(parts[0]), String(parts[1]), source: "--set")
        }
    }

    /// The node at `path`, or the nodes of a local cluster made by `dhtfs up`.
    static func find(_ path: String) throws(DaemonError) -> [DataDirectory] {
        let names = LocalCluster.nodeNames(in: path)
        if names.isEmpty || LocalFile.exists(path + "/format") { return [try DataDirectory(opening: path)] }
        var found: [DataDirectory] = []
        for name in names { found.append(try DataDirectory(opening: "\(path)/\(name)")) }
        return found
    }
}

/// The names that `dhtfs up` gives.
enum LocalCluster {
    /// "node1", "node2" … in `path`, in the order of their numbers.
    static func nodeNames(in path: String) -> [String] {
        LocalFile.names(in: path)
            .compactMap { name in name.hasPrefix("node") ? Int(name.dropFirst(4)).map { (number: $0, name: name) } : nil }
            .filter { LocalFile.exists("\(path)/\($0.name)/format") }
            .sorted { $0.number < $1.number }
            .map(\.name)
    }

    static func mountLogPath(_ path: String) -> String { path + "/mount.log" }
    static func mountPidPath(_ path: String) -> String { path + "/mount.pid" }
}
