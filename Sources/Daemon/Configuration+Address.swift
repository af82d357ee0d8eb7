import Glibc
package import Model

extension Configuration {
    /// What this node tells others about how to reach it.
    /// - Parameter socketPath: absolute; longer ones than a socket address can hold (107 bytes, unix(7)) are refused.
    package func nodeAddress(socketPath: String) throws(DaemonError) -> NodeAddress {
        guard socketPath.utf8.count <= 107 else {
            throw DaemonError(.usage, "\(socketPath) is longer than the 107 bytes of a Unix socket's path; use a shorter --data")
        }
        let own = HostPort(host: isWildcard ? try Self.hostName() : listen.host, port: listen.port)
        let reachable = advertise ?? own
        return NodeAddress(host: reachable.host, port: reachable.port, machine: machine ?? Self.machineIdentifier(), socketPath: socketPath)
    }

    private var isWildcard: Bool { listen.host == "0.0.0.0" || listen.host == "::" }

    /// The machine's own id (machine-id(5)), or its name where there is none.
    package static func machineIdentifier() -> String {
        if let content = try? LocalFile.read("/etc/machine-id") {
            let text = String(decoding: content.prefix { $0 > 0x20 }, as: UTF8.self)
            if (1...64).contains(text.utf8.count) { return text }
        }
        return String(((try? hostName()) ?? "localhost").prefix(64))
    }

    private static func hostName() throws(DaemonError) -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { throw systemError("cannot find the name of this host") }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
