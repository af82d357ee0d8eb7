import CPosix
import Daemon
import Glibc

/// Processes that this machine's commands started.
enum LocalProcess {
    /// The daemon that holds a data directory's lock; nil if nobody does, whatever the pid file says.
    static func running(pidPath: String, lockPath: String) -> pid_t? {
        let descriptor = CPosix_open(lockPath, O_RDWR, 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return nil }
        return pid(in: pidPath)
    }

    /// The number on the first line of a file.
    static func pid(in path: String) -> pid_t? {
        guard LocalFile.exists(path), let content = try? LocalFile.read(path) else { return nil }
        return pid_t(String(decoding: content.prefix { $0 != 0x0A }, as: UTF8.self))
    }

    /// Waits, however long it takes, until a process of that name is gone (pidfd_open(2)); returns at once if there is none.
    static func waitForEnd(of process: pid_t, named name: String) {
        guard let content = try? LocalFile.read("/proc/\(process)/comm"), content.prefix(while: { $0 != 0x0A }).elementsEqual(name.utf8) else { return }
        let descriptor = CPosix_pidfd_open(process)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while Glibc.poll(&poll, 1, -1) < 0 && errno == EINTR {}
    }
}
