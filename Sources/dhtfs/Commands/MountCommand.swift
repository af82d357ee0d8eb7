import Daemon
import Filesystem
import FuseMount
import Glibc
import Metadata
import Runtime
import Telemetry

/// `dhtfs mount`.
enum MountCommand {
    static let command = Command(
        name: "mount", summary: "mount the tree", operands: ["MOUNTPOINT"],
        flags: [
            .data, .config, .set, Flag("--foreground", nil, "stay in the foreground and log to standard error"),
            Flag("--keep", nil, "with --foreground: start the process that serves the mount again if it is killed; without, that is always so"),
            Flag("--log", "FILE", "log of the background process (default: mount.log in the data directory)"), Flag("--read-only", nil, "allow no changes"),
            Flag("--suid", nil, "honour set-user-id and set-group-id bits"), Flag("--dev", nil, "honour device nodes"),
        ],
        details: "Returns when the tree is mounted; the work is done by a process in the background, with another one that starts it again if it is killed. `dhtfs unmount` or umount(8) ends it after everything is written back.",
        run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let path = LocalFile.absolute(arguments.operands[0])
        if arguments.isOn("--foreground"), !arguments.isOn("--keep") { return try await serve(path, arguments) }
        let settings = try Settings(arguments)
        var words = ["mount", "--foreground", "--data", Settings.dataPath(arguments)]
        for name in ["--config", "--set"] { if let value = arguments[name] { words += [name, value] } }
        for name in ["--read-only", "--suid", "--dev"] where arguments.isOn(name) { words.append(name) }
        words.append(path)
        if arguments.isOn("--foreground") {
            return try await MountKeeper(path: path, words: words, log: Log(component: "mount", level: settings.configuration.logLevel)).run()
        }
        _ = try ChildProcess.start(words + ["--keep"], logPath: arguments["--log"] ?? settings.directories[0].path + "/mount.log")
        return 0
    }

    @LoopActor private static func serve(_ path: String, _ arguments: Arguments) async throws(DaemonError) -> Int32 {
        do throws(DaemonError) {
            let settings = try Settings(arguments)
            try MountRecord.requireFree(path)
            let log = Log(component: "mount", level: settings.configuration.logLevel)
            let client = try ClientStack(settings, log: log)
            // Until there is a session, a signal may end the process as it is.
            let metadata = try await client.services.openSession(name: "mount \(path)")
            let ending = Ending()
            Signals.on(SIGTERM) { ending.request() }
            Signals.on(SIGINT) { ending.request() }
            let files = client.filesystem(metadata)
            let mount = FuseMount(mountPoint: path, options: options(settings, arguments), operations: files, log: log)
            do throws(FuseMountError) { try await mount.mount() } catch {
                await metadata.close()
                throw DaemonError(.system, error.cause)
            }
            // The lease bounds both; names only where the kernel can be told to look them up again.
            files.letKernelCache(entries: mount.canInvalidateEntries ? leaseMax : 0, attributes: leaseMax)
            client.services.followLayout(metadata)
            try MountRecord.write(path)
            log.info("mounted", ["at": path])
            let memory = ResidentMemory(client.services.environment)
            ChildProcess.reportReady()
            let stopper = Task { @LoopActor in
                await ending.wait()
                await mount.stop()
            }
            await mount.run()
            memory.stop()
            stopper.cancel()
            await metadata.close()
            MountRecord.remove(path)
            log.info("unmounted", ["from": path])
            return 0
        } catch {
            ChildProcess.report(error.cause)
            throw error
        }
    }

    /// More than any lease lasts, in nanoseconds.
    private static let leaseMax = 60 * Nanoseconds.second

    private static func options(_ settings: Settings, _ arguments: Arguments) -> FuseOptions {
        var options = FuseOptions()
        options.readOnly = arguments.isOn("--read-only")
        options.noSetID = !arguments.isOn("--suid")
        options.noDevices = !arguments.isOn("--dev")
        options.readAheadKiB = settings.configuration.readAheadKibibytes
        options.usesQueues = settings.configuration.usesQueues
        options.name = "dhtfs:\(Settings.dataPath(arguments))"
        return options
    }
}

/// Which process serves a mount point: a file under /run/dhtfs, so that `unmount` can wait until everything is written back.
enum MountRecord {
    private static let directory = "/run/dhtfs"

    private static func file(_ path: String) -> String {
        directory + "/" + path.utf8.map { byte in byte == 0x2F ? "-" : byte == 0x2D ? "--" : String(UnicodeScalar(byte)) }.joined() + ".pid"
    }

    static func write(_ path: String) throws(DaemonError) {
        try LocalFile.makeDirectory(directory)
        try LocalFile.write(Array("\(getpid())\n".utf8), to: file(path))
    }

    static func remove(_ path: String) { unlink(file(path)) }

    /// The process that serves `path`, as far as known.
    static func process(_ path: String) -> pid_t? { LocalProcess.pid(in: file(path)) }

    /// - Throws: `.system` if a living process already serves a mount there.
    static func requireFree(_ path: String) throws(DaemonError) {
        guard let entry = MountTable.entry(at: path), entry.type == "fuse.dhtfs", !MountPoint.isDead(path) else { return }
        throw DaemonError(.system, "\(path) is mounted already; unmount it first: dhtfs unmount \(path)")
    }
}
