import Daemon
import FuseMount
import Glibc
import Runtime
import Telemetry

/// Keeps a mount alive: runs the process that serves it, and starts another where it was killed, so that "Transport endpoint is not connected" lasts no
/// longer than a start takes. What the dead process had not written back is lost, and its open files stay dead, as after the crash of a machine.
///
/// A process of its own rather than libfuse's auto_unmount, after which programs would go on in the directory below the mount and never notice; and rather
/// than handing over the kernel's channel, since a new process knows nothing of the files that are open.
@LoopActor
final class MountKeeper {
    /// A process that served for so long, in nanoseconds, was not killed by what it did at its start; another one is started at once.
    private static let healthyAfter = 10 * Nanoseconds.second
    /// The first and the longest pause after one that did not.
    private static let pauses = (Nanoseconds.second, 30 * Nanoseconds.second)

    private let path: String
    private let words: [String]
    private let log: Log
    private var child: pid_t = 0
    private var isEnding = false
    private var waiter: UnsafeContinuation<Int32, Never>?

    /// - Parameter words: the arguments of the process that serves the mount at `path`.
    init(path: String, words: [String], log: Log) {
        self.path = path
        self.words = words
        self.log = log
        Signals.on(SIGCHLD) { [self] in reap() }
        for signal in [SIGTERM, SIGINT] { Signals.on(signal) { [self] in end(signal) } }
    }

    /// Returns the exit code of the last process, when that ended in order or nothing of the mount is left.
    func run() async throws(DaemonError) -> Int32 {
        var pause: UInt64 = 0
        var isFirst = true
        while true {
            let start = SystemClock.shared.now
            let process = try ChildProcess.startInPlace(words)
            child = process
            let status = await withUnsafeContinuation { waiter = $0 }
            // The low bits are the signal that ended it (wait(2)).
            let wasKilled = status & 0x7F != 0
            let code = wasKilled ? 1 : status >> 8 & 0xFF
            // Whoever waits for the mount was told why the first one could not begin.
            if isEnding || isFirst && !wasKilled { return code }
            // One that was to take another's place may have taken the dead mount away.
            let wasBeginning = !isFirst && wasKilled && MountRecord.process(path) != process
            if !wasBeginning && !MountPoint.isDead(path) { return code }
            isFirst = false
            log.error("the process that served the mount is gone; another one is started", ["at": path, "status": "\(status)"])
            let isHealthy = SystemClock.shared.now - start >= Self.healthyAfter
            pause = isHealthy ? 0 : min(max(pause * 2, Self.pauses.0), Self.pauses.1)
            await SystemClock.shared.sleep(nanoseconds: pause)
        }
    }

    private func reap() {
        var status: Int32 = 0
        guard child != 0, waitpid(child, &status, WNOHANG) == child else { return }
        child = 0
        waiter?.resume(returning: status)
        waiter = nil
    }

    /// The process that serves writes everything back, unmounts and ends; between two there is nothing to wait for.
    private func end(_ signal: Int32) {
        isEnding = true
        guard child != 0 else { exit(1) }
        kill(child, signal)
    }
}
