import Daemon

/// `dhtfs version`.
enum VersionCommand {
    static let command = Command(name: "version", summary: "print the version", flags: [.json]) { arguments in
        let json = JSON.object([("version", .string(Version.number)), ("format", .integer(Int64(DataDirectory.formatVersion)))])
        Terminal.print(arguments.isOn("--json") ? json.text : Version.line)
        return 0
    }
}
