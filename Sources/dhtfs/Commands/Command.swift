import Daemon
import Runtime

/// One subcommand of `dhtfs`.
struct Command: Sendable {
    /// As typed, such as "token create".
    var name: String
    /// One line for the overview.
    var summary: String
    /// Names of the operands; optional ones in brackets.
    var operands: [String] = []
    var flags: [Flag] = []
    /// More for `--help`: what it does, exit codes, an example.
    var details: String = ""
    /// Exit code when it could not be done.
    var failureExit: Int32 = 1
    /// Does it; returns the exit code.
    var run: @LoopActor @Sendable (Arguments) async throws(DaemonError) -> Int32

    /// The text of `--help`.
    var help: String {
        var text = "usage: dhtfs \(name)"
        if !flags.isEmpty { text += " [FLAGS]" }
        for operand in operands { text += " \(operand)" }
        text += "\n\n\(summary)\n"
        if !details.isEmpty { text += "\n\(details)\n" }
        if !flags.isEmpty {
            let rows = flags.map { ["  \($0.name)\($0.value.map { " \($0)" } ?? "")", $0.help] }
            text += "\nflags:\n\(Terminal.table(rows))\n"
        }
        return text
    }
}

/// Flags that several commands share.
extension Flag {
    static let data = Flag("--data", "DIR", "data directory of this machine's daemon, or of a local cluster (default: $DHTFS_DATA, /var/lib/dhtfs)")
    static let json = Flag("--json", nil, "print one JSON document for programs")
    static let config = Flag("--config", "FILE", "configuration file (default: node.conf in the data directory)")
    static let set = Flag("--set", "KEY=VALUE[,…]", "settings that win over the configuration file and the environment")
}
