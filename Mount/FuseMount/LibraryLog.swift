import Bytes
import CFuse
import Glibc
import Telemetry

/// Takes libfuse's own messages, which it would print to standard error, into the log.
enum LibraryLog {
    private static let state = State()

    /// From now on messages go to `log`. The handler is one per process; the last caller's log is used.
    static func install(_ log: Log) {
        state.lock.withLock { state.log = log }
        fuse_set_log_func { _, format, arguments in
            guard let format, let arguments else { return }
            var line = [CChar](repeating: 0, count: 1024)
            let length = vsnprintf(&line, line.count, format, arguments)
            guard length > 0 else { return }
            let text = line.prefix(min(Int(length), line.count - 1)).map { UInt8(bitPattern: $0) }
            LibraryLog.take(String(decoding: text, as: UTF8.self))
        }
    }

    private static func take(_ message: String) {
        let trimmed = message.last == "\n" ? String(message.dropLast()) : message
        guard !trimmed.isEmpty else { return }
        let log = state.lock.withLock {
            state.last = trimmed
            return state.log
        }
        log?.debug(trimmed)
    }

    /// The last message, which tells why a call of libfuse failed; empty if there was none. Forgets it.
    static func takeLast() -> String {
        state.lock.withLock {
            defer { state.last = "" }
            return state.last
        }
    }

    /// Sendable without checking: everything in it is behind `lock`.
    private final class State: @unchecked Sendable {
        let lock = Lock()
        var log: Log?
        var last = ""
    }
}
