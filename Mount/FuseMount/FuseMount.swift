package import Filesystem
import CFuse
import Glibc
package import Runtime
package import Telemetry

/// Files as users see them, shown to the kernel at a directory.
///
///     let mount = FuseMount(mountPoint: "/mnt/dht", options: FuseOptions(), operations: files, log: log)
///     try await mount.mount()     // served from here on
///     await mount.run()           // until umount(8) or `stop`
@LoopActor
package final class FuseMount {
    private enum State {
        case idle, mounting, serving, stopping, ended
    }

    private let requestedPoint: String
    private let options: FuseOptions
    private let operations: any FileOperations
    private let log: Log
    private var state = State.idle
    private var session: FuseSession?
    private var cache: FuseKernelCache?
    /// The mount point without symlinks, and the device number of what was mounted there.
    private var path = ""
    private var device = ""
    private var waitingForLoop: [UnsafeContinuation<Void, Never>] = []
    private var waitingForEnd: [UnsafeContinuation<Void, Never>] = []
    private var loopEnded = false

    package nonisolated init(mountPoint: String, options: FuseOptions, operations: any FileOperations, log: Log) {
        requestedPoint = mountPoint
        self.options = options
        self.operations = operations
        self.log = log
    }

    /// Whether the kernel can be told to check cached names again: only then entries may have a validity (it is taken as 0 otherwise).
    /// Known once `mount` returned.
    package var canInvalidateEntries: Bool { session?.canInvalidateEntries ?? false }
    /// Whether the kernel can be made to forget inodes that nobody uses. Right once `mount` has returned.
    package var canPrune: Bool { session?.canPrune ?? false }
    /// Whether the kernel leaves it to `FileOperations.dropPrivileges` to take set-id bits and capabilities away. Right once `mount` has returned.
    package var leavesPrivileges: Bool { session?.translation.leavesPrivileges ?? false }

    // MARK: Mounting

    /// Mounts and begins to serve. When it returns, the kernel's INIT is done and the tree can be used. After an error nothing is mounted.
    /// - Precondition: called once.
    package func mount() async throws(FuseMountError) {
        precondition(state == .idle, "a FuseMount mounts once")
        state = .mounting
        do throws(FuseMountError) {
            LibraryLog.install(log)
            let session = try FuseSession(operations: operations, options: options, log: log)
            let (requested, log) = (requestedPoint, log)
            path = try await SystemThread.run("fuse mount") { () -> Result<String, FuseMountError> in
                Result { () throws(FuseMountError) in
                    try MountPoint.checkDevice()
                    let path = try MountPoint.prepare(requested, log)
                    try session.mount(at: path)
                    return path
                }
            }.get()
            self.session = session
            try await begin(session)
        } catch {
            if state == .mounting { state = .ended }
            finishWaiters()
            throw error
        }
        state = .serving
        if loopEnded { loopDidEnd(0) }
    }

    /// Starts the threads of a session that is mounted and waits until the kernel has accepted it.
    private func begin(_ session: FuseSession) async throws(FuseMountError) {
        var failure = session.interrupts.start()
        if failure == 0, let channel = session.notificationChannel() {
            let cache = FuseKernelCache(session: session, channel: channel, log: log)
            failure = cache.start()
            self.cache = cache
            operations.kernelCache = cache
        }
        if failure == 0 {
            failure = SystemThread.start("fuse") {
                let code = session.serve()
                Task { @LoopActor in self.loopDidEnd(code) }
            }
        }
        if failure != 0 { loopEnded = true }
        let (path, readAhead) = (path, options.readAheadKiB)
        let problem: FuseMountError?
        if failure != 0 {
            problem = FuseMountError(.failed, "cannot serve the mount: \(MountPoint.text(failure))")
        } else {
            let log = log
            (device, problem) = await SystemThread.run("fuse mount") { Self.awaitInit(path, session, readAhead, log) }
        }
        guard let problem else { return }
        let leaving = await unmount(session)
        await loopToEnd(leaving: leaving)
        close(session)
        throw problem
    }

    /// Returns the filesystem's device number once INIT is done. Blocks.
    private nonisolated static func awaitInit(
        _ path: String, _ session: FuseSession, _ readAhead: Int, _ log: Log
    ) -> (String, FuseMountError?) {
        let refusal = session.translation.acceptance.wait()
        guard refusal == 0 else { return ("", FuseMountError(.failed, "the kernel did not accept the mount at \(path): \(MountPoint.text(refusal))")) }
        guard let entry = MountPoint.top(at: path) else {
            return ("", FuseMountError(.failed, "the mount at \(path) is gone"))
        }
        // INIT lowers the window to what it was; so it is raised only now.
        let code = MountPoint.setReadAhead(entry.device, kibibytes: readAhead)
        if code != 0 {
            log.warning(
                "cannot raise the kernel's read-ahead; sequential reads will be slower",
                ["file": "/sys/class/bdi/\(entry.device)/read_ahead_kb", "error": MountPoint.text(code)])
        }
        if session.canInvalidateEntries, let channel = session.notificationChannel(), channel.incrementEpoch() != 0 {
            session.giveUpEntries()
        }
        log.info(
            "mounted",
            [
                "path": path, "device": entry.device, "names cached": session.canInvalidateEntries ? "yes" : "no",
                "privileges left to us": session.translation.leavesPrivileges ? "yes" : "no",
                "requests": session.translation.hasQueues ? "io_uring" : "device",
            ])
        return (entry.device, nil)
    }

    // MARK: Serving

    /// Returns when the filesystem is unmounted, by `stop` or by others, and everything was flushed.
    package func run() async {
        if state == .ended { return }
        await withUnsafeContinuation { waitingForEnd.append($0) }
    }

    /// Flushes, unmounts and ends. While files are open the mount point is freed at once, what was written is flushed, and whoever goes on
    /// using these files gets ENOTCONN (ECANCELED for what comes into a queue as it ends). Returns when all is done; harmless if it was called before.
    package func stop() async {
        guard state == .serving, let session else {
            if state == .stopping { await run() }
            return
        }
        state = .stopping
        await flush()
        // umount(8) by others may have come first.
        if !loopEnded {
            let leaving = await unmount(session)
            if leaving {
                log.warning("files are still open; their users will get ENOTCONN", ["path": path])
                session.refuseWork()
                await flush()
            }
            await loopToEnd(leaving: leaving)
        }
        await finish()
    }

    /// Takes the mount away from its path. Returns whether the session has to be told to end: files are open, or the mount is elsewhere.
    private func unmount(_ session: FuseSession) async -> Bool {
        let (path, device) = (path, device)
        let code: Int32 = await SystemThread.run("fuse unmount") {
            // What others mounted over it, or in its place, is not ours to take away.
            guard let entry = MountPoint.top(at: path), device.isEmpty || entry.device == device else { return EINVAL }
            if umount2(path, 0) == 0 { return 0 }
            let code = errno
            if code == EBUSY && umount2(path, CInt(MNT_DETACH)) == 0 { return EBUSY }
            return code
        }
        switch code {
        case 0:
            return false
        case EBUSY:
            return true
        default:
            // EPERM: libfuse has fusermount3 unmount. EINVAL, ENOENT: it is not there any more.
            if code == EPERM { await SystemThread.run("fuse unmount") { session.unmount() } }
            return true
        }
    }

    private func loopToEnd(leaving: Bool) async {
        if loopEnded { return }
        if leaving { session?.leave() }
        await withUnsafeContinuation { waitingForLoop.append($0) }
    }

    private func loopDidEnd(_ code: Int32) {
        loopEnded = true
        if code != 0 { log.error("reading requests failed", ["error": MountPoint.text(code)]) }
        let waiting = waitingForLoop
        waitingForLoop = []
        for continuation in waiting { continuation.resume() }
        guard state == .serving else { return }
        // Unmounted by others.
        state = .stopping
        Task { @LoopActor in await finish() }
    }

    private func flush() async {
        do throws(Errno) {
            try await operations.syncAll()
        } catch {
            log.error("not everything could be flushed", ["error": MountPoint.text(error.rawValue)])
        }
    }

    /// After the last request was read.
    private func finish() async {
        await flush()
        if let session { close(session) }
        log.info("unmounted", ["path": path])
        state = .ended
        finishWaiters()
    }

    /// Lets go of the session, which ends when its last request is answered.
    private func close(_ session: FuseSession) {
        operations.kernelCache = nil
        cache?.close()
        cache = nil
        session.interrupts.close()
        self.session = nil
    }

    private func finishWaiters() {
        let waiting = waitingForEnd
        waitingForEnd = []
        for continuation in waiting { continuation.resume() }
    }
}
