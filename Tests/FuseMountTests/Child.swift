import Glibc
import Runtime
import Testing

@testable import FuseMount

/// A Python process that runs one line of code after another. System calls on a mount are made here, never in the process that
/// serves it: a call that hangs can then be ended.
final class Child: Sendable {
    /// Evaluates each line of its input and prints the value; of an exception, its class and, for system errors, the name of the number.
    private static let program = """
        import sys, os, errno, signal
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        scope = {"os": os, "errno": errno}
        for line in sys.stdin:
            try:
                code = line.strip().replace("\\x01", "\\n")
                try:
                    compiled = compile(code, "line", "eval")
                    value = eval(compiled, scope)
                except SyntaxError:
                    exec(code, scope)
                    value = scope.pop("result", None)
                print(str(value).replace("\\n", " "), flush=True)
            except OSError as error:
                print(errno.errorcode.get(error.errno, error.errno), flush=True)
            except BaseException as error:
                print(type(error).__name__, str(error).replace("\\n", " "), flush=True)
        """
    /// Seconds after which a call counts as hanging.
    private static let deadline: Int32 = 60

    let process: pid_t
    private let input: Int32
    private let output: Int32

    init(_ directory: String) throws {
        var toChild: [Int32] = [-1, -1]
        var fromChild: [Int32] = [-1, -1]
        try #require(pipe(&toChild) == 0 && pipe(&fromChild) == 0)
        for descriptor in toChild + fromChild { try #require(fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        var process = pid_t()
        let words: [String] = ["python3", "-c", Self.program]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        let started = posix_spawn(&process, "/usr/bin/python3", &actions, nil, &arguments, environ)
        close(toChild[0])
        close(fromChild[1])
        try #require(started == 0)
        self.process = process
        input = toChild[1]
        output = fromChild[0]
        write("os.umask(0o022); M = \(Self.quoted(directory)); result = None")
        // Its answer is read here, so that the next one belongs to the next code.
        try #require(Self.answer(output, process) == "None")
    }

    /// Runs Python code, of which an expression, or the variable `result`, is the answer.
    func ask(_ code: String) async -> String {
        let output = output
        let process = process
        write(code)
        return await SystemThread.run("child") { Self.answer(output, process) }
    }

    /// Sends code without waiting for the answer.
    func tell(_ code: String) { write(code) }

    /// The next answer.
    func answer() async -> String {
        let output = output
        let process = process
        return await SystemThread.run("child") { Self.answer(output, process) }
    }

    /// Kills the process and returns when it is gone, or false if it is not within the deadline.
    func end(_ signal: Int32 = SIGKILL) async -> Bool {
        kill(process, signal)
        let (process, input, output) = (process, input, output)
        return await SystemThread.run("child") {
            defer {
                close(input)
                close(output)
            }
            for _ in 0..<Self.deadline * 20 {
                var status: Int32 = 0
                if waitpid(process, &status, WNOHANG) != 0 { return true }
                usleep(50_000)
            }
            return false
        }
    }

    private func write(_ code: String) {
        let bytes = Array((code.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\u{1}") + "\n").utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(input, $0.baseAddress.map { $0 + sent }, bytes.count - sent) }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// One line, or "deadline" after which the process is killed, or "gone".
    private static func answer(_ output: Int32, _ process: pid_t) -> String {
        var line: [UInt8] = []
        while true {
            var ready = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            guard poll(&ready, 1, deadline * 1000) > 0 else {
                kill(process, SIGKILL)
                return "deadline"
            }
            var byte: UInt8 = 0
            guard read(output, &byte, 1) == 1 else { return "gone" }
            if byte == 0x0A { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
    }

    static func quoted(_ text: String) -> String { "'" + text + "'" }
}
