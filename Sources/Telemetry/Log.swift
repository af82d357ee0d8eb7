import CPosix
import Glibc

/// Severity of a log line.
package enum LogLevel: Int, Comparable, CaseIterable, Sendable {
    case debug, info, warning, error
    package static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }

    package var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }
}

/// A structured log: one line per event, `time level component: message key=value …`, to standard error by one write(2), so that
/// lines of several threads never mix, or wherever `output` takes it. Any thread. Never give it secrets or file content.
package struct Log: Sendable {
    /// Takes the lines, without time and newline, instead of standard error.
    package typealias Output = @Sendable (_ level: LogLevel, _ line: String) -> Void

    /// Who speaks, such as "raft" or "blocks".
    package let component: String
    private let level: LogLevel
    private let context: [(String, String)]
    private let output: Output?

    package init(component: String, level: LogLevel = .info, context: [(String, String)] = [], output: Output? = nil) {
        self.component = component
        self.level = level
        self.context = context
        self.output = output
    }

    /// The same destination and level under another name.
    package func named(_ component: String) -> Log { Log(component: component, level: level, context: context, output: output) }

    package func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        if level <= .debug { write(.debug, message(), fields()) }
    }

    package func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        if level <= .info { write(.info, message(), fields()) }
    }

    package func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        if level <= .warning { write(.warning, message(), fields()) }
    }

    package func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]) {
        write(.error, message(), fields())
    }

    private func write(_ level: LogLevel, _ message: String, _ fields: KeyValuePairs<String, String>) {
        var line = "\(level.name) \(component): \(Self.oneLine(message))"
        for (key, value) in context { line += " \(key)=\(Self.quoted(value))" }
        for (key, value) in fields { line += " \(key)=\(Self.quoted(value))" }
        if let output { return output(level, line) }
        var bytes = Array("\(Self.timestamp()) \(line)\n".utf8)
        bytes.withUnsafeMutableBytes { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// UTC, RFC 3339, milliseconds.
    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let milliseconds = now.tv_nsec / 1_000_000
        let padding = milliseconds < 10 ? "00" : milliseconds < 100 ? "0" : ""
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T"
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(padding)\(milliseconds)Z"
    }

    /// Control characters would let a name forge a line.
    private static func oneLine(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : Character($0) })
    }

    private static func quoted(_ value: String) -> String {
        let clean = oneLine(value)
        guard clean.isEmpty || clean.utf8.contains(where: { $0 == 0x20 || $0 == 0x22 || $0 == 0x3D }) else { return clean }
        return "\"" + clean.replacing("\"", with: "'") + "\""
    }
}

extension String {
    fileprivate func replacing(_ character: Character, with other: Character) -> String { String(map { $0 == character ? other : $0 }) }
}
