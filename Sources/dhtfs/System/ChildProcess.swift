import CPosix
import Daemon
import Glibc

/// Starts this program again as a process of its own session, which outlives the caller.
///
/// The child tells through a pipe whether it came up: a line "ready", or a line with what is wrong. So the caller's exit code is the child's.
enum ChildProcess {
    /// The descriptor on which a child reports; its number is in this variable.
    static let readyVariable = "DHTFS_READY_FD"

    /// Starts `dhtfs arguments` with output appended to `logPath`, and waits until it reports.
    /// - Throws: `.system` with the child's own words if it did not come up.
    static func start(_ arguments: [String], logPath: String) throws(DaemonError) -> pid_t {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw DaemonError(.system, "cannot make a pipe: \(reason())") }
        let (reading, writing) = (ends[0], ends[1])
        defer { close(reading) }
        // Only the writing end goes on into the child.
        CPosix_close_on_exec(reading)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, logPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)

        let child: pid_t
        do throws(DaemonError) {
            child = try spawn(arguments, &actions, inNewSession: true, reportingOn: writing)
        } catch {
            close(writing)
            throw error
        }
        close(writing)

        var report: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while !report.contains(0x0A) {
            let count = read(reading, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            report.append(contentsOf: chunk[..<count])
        }
        let line = String(decoding: report.prefix { $0 != 0x0A }, as: UTF8.self)
        if line == "ready" { return child }
        throw DaemonError(.system, line.isEmpty ? "the process ended before it was ready; see \(logPath)" : line)
    }

    /// Starts `dhtfs arguments` with the descriptors of this process, for its parent to wait for: it reports what this process was to report.
    static func startInPlace(_ arguments: [String]) throws(DaemonError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let reporting = takeReporting()
        defer { if let reporting { close(reporting) } }
        return try spawn(arguments, &actions, inNewSession: false, reportingOn: reporting)
    }

    private static func spawn(
        _ arguments: [String], _ actions: inout posix_spawn_file_actions_t, inNewSession: Bool, reportingOn descriptor: Int32?
    ) throws(DaemonError) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        if inNewSession { posix_spawnattr_setflags(&attributes, CPosix_spawn_setsid) }
        var variables: [String] = []
        var variable = environ
        while let entry = variable.pointee {
            let text = String(cString: entry)
            if !text.hasPrefix(readyVariable + "=") { variables.append(text) }
            variable += 1
        }
        if let descriptor { variables.append("\(readyVariable)=\(descriptor)") }
        var argv: [UnsafeMutablePointer<CChar>?] = (["dhtfs"] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer {
            for pointer in argv + envp { free(pointer) }
        }
        var child = pid_t()
        let spawned = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, &argv, &envp)
        guard spawned == 0 else { throw DaemonError(.system, "cannot start a process: \(String(cString: strerror(spawned)))") }
        return child
    }

    /// In the child: tells the parent that it is up. Harmless where nobody waits.
    static func reportReady() { report("ready") }

    /// In the child: tells the parent why it is not up.
    static func report(_ line: String) {
        guard let descriptor = takeReporting() else { return }
        let bytes = Array((line + "\n").utf8)
        _ = write(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    /// Where to report, if somebody waits; once.
    private static func takeReporting() -> Int32? {
        guard let text = getenv(readyVariable), let descriptor = Int32(String(cString: text)) else { return nil }
        unsetenv(readyVariable)
        return descriptor
    }

    /// Replaces this process by a new one of the same program with the same arguments; number, log and terminal stay. Descriptors and locks are given up.
    /// - Returns: only if that could not be done, why.
    static func becomeAnew() -> DaemonError {
        var argv: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) } + [nil]
        execv("/proc/self/exe", &argv)
        return DaemonError(.system, "cannot start anew: \(reason())")
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}
