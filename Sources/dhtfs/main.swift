import CPosix
import Daemon
import Glibc
import Runtime

/// Exit codes besides those that a command documents itself.
private let usageExit: Int32 = 2
private let failureExit: Int32 = 1

private func overview() -> String {
    let rows = CommandTable.all.map { ["  \($0.name)", $0.summary] }
    return """
        usage: dhtfs COMMAND [FLAGS] [OPERANDS]

        A distributed filesystem: every machine runs a daemon and mounts the same tree.

        commands:
        \(Terminal.table(rows))

        `dhtfs COMMAND --help` tells more. Exit codes: 0 done, 1 failed, 2 wrong usage.
        """
}

private func fail(_ message: String, _ code: Int32) -> Never {
    Terminal.note("dhtfs: \(message)")
    exit(code)
}

// What ps(1) shows, whatever the file is called; a process that is started by /proc/self/exe would be "exe".
CPosix_name_thread("dhtfs")

// A peer that goes away shows up as an error of the write, never as a signal.
signal(SIGPIPE, SIG_IGN)

private let words = Array(CommandLine.arguments.dropFirst())
if words.isEmpty { fail("no command; see `dhtfs --help`", usageExit) }
if ["--help", "-h", "help"].contains(words[0]) {
    Terminal.print(overview())
    exit(0)
}
if words[0] == "--version" {
    Terminal.print(Version.line)
    exit(0)
}
guard let command = CommandTable.find(words) else { fail("unknown command \"\(words[0])\"; see `dhtfs --help`", usageExit) }
private let rest = Array(words.dropFirst(command.name.split(separator: " ").count))
if rest.contains("--help") || rest.contains("-h") {
    Terminal.print(command.help)
    exit(0)
}

private let finished = Semaphore()
nonisolated(unsafe) private var exitCode: Int32 = 0
Task { @LoopActor in
    do throws(DaemonError) {
        let arguments = try Arguments(rest, flags: command.flags, operands: command.operands, command: command.name)
        exitCode = try await command.run(arguments)
    } catch {
        Terminal.note("dhtfs: \(error)")
        exitCode = error.code == .usage ? usageExit : command.failureExit
    }
    finished.signal()
}
finished.wait()
exit(exitCode)
