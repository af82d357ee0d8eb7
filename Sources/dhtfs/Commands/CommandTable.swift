/// All subcommands, in the order of the overview.
enum CommandTable {
    static let all: [Command] = [
        InitCommand.command, TokenCommand.command, JoinCommand.command, DaemonCommand.command, MountCommand.command, UnmountCommand.command,
        UpCommand.command, DownCommand.command, StatusCommand.command, RingCommand.command, FileCommands.put, FileCommands.get, FileCommands.cat,
        FileCommands.stat, LocateCommand.command, VerifyCommand.command, VersionCommand.command, CompletionCommand.command,
    ]

    /// The command that `words` begin with; two-word names win.
    static func find(_ words: [String]) -> Command? {
        let two = words.prefix(2).joined(separator: " ")
        return all.first { $0.name == two } ?? all.first { $0.name == words.first }
    }
}
