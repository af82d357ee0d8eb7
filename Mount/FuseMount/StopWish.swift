import Glibc

/// What the signals that wait for a thread say about a request it made. FUSE tells that a signal came but not which; taking every one as
/// "stop" would give EINTR to programs that only have a timer or a child that ended.
enum StopWish: Sendable {
    /// Nothing that asks to stop.
    case none
    /// A signal with which people stop a program, and which the program handles itself.
    case interrupt
    /// The thread dies as soon as it is back from the kernel; nobody will see the result of its call.
    case fatal

    private static let stopping: UInt64 = [SIGHUP, SIGINT, SIGQUIT, SIGTERM].reduce(0) { $0 | (1 << UInt64($1 - 1)) }
    private static let killing: UInt64 = 1 << UInt64(SIGKILL - 1)

    /// Looks at /proc/TID/status (proc(5)). A thread whose signals cannot be seen, as one of another pid namespace, counts as one
    /// that wants to stop; so does one that is gone.
    static func of(thread: pid_t) -> StopWish {
        guard thread > 0, let status = MountPoint.contents(of: "/proc/\(thread)/status") else { return .interrupt }
        return of(status: status)
    }

    static func of(status: String) -> StopWish {
        var pending: UInt64 = 0
        var blocked: UInt64 = 0
        for line in status.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == "\t" || $0 == " " }
            switch line[..<colon] {
            case "SigPnd", "ShdPnd": pending |= UInt64(value, radix: 16) ?? 0
            case "SigBlk": blocked = UInt64(value, radix: 16) ?? 0
            default: break
            }
        }
        // A signal that will kill makes the kernel add SIGKILL for every thread of the process (complete_signal, kernel/signal.c).
        if pending & killing != 0 { return .fatal }
        return pending & ~blocked & stopping != 0 ? .interrupt : .none
    }
}
