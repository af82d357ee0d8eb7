import Blocks
import Daemon
import FuseMount
import Runtime
import Glibc
import Model
import Ring

/// `dhtfs up`.
enum UpCommand {
    static let command = Command(
        name: "up", summary: "run a whole local cluster on this machine, and mount it", operands: ["DIR"],
        flags: [
            Flag("--nodes", "N", "daemons to run, 1 to 16 (default 3); short form -n"),
            Flag("--replicas", "R", "copies of each block (default 3, or N if that is less)"),
            Flag("--mount", "PATH", "where to mount (default: nowhere); created if it is missing"),
            Flag("--port", "PORT", "port of the first daemon on 127.0.0.1; the others follow (default 7070)"), .set,
        ],
        details: """
            Everything lies under DIR. Run again, it starts what is not running and changes nothing else: the number of nodes may grow, never shrink.
            `dhtfs down DIR` stops it all. Commands take the cluster with --data DIR.
            """, run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let path = LocalFile.absolute(arguments.operands[0])
        let wanted = try arguments.number("--nodes", 1...16)
        let existing = LocalCluster.nodeNames(in: path)
        let count = max(wanted ?? max(existing.count, existing.isEmpty ? 3 : 0), existing.count)
        if let wanted, wanted < existing.count {
            throw DaemonError(.usage, "\(path) already has \(existing.count) nodes; nodes cannot be taken away")
        }
        let replicas = try arguments.number("--replicas", 1...8) ?? min(3, count)
        let port = try arguments.number("--port", 1...65_000) ?? 7070
        try LocalFile.makeDirectory(path)

        let directories = (1...count).map { "\(path)/node\($0)" }
        for (index, data) in directories.enumerated() {
            if !LocalFile.exists(data + "/format") {
                try await make(index + 1, data: data, first: directories[0], port: port + index, replicas: replicas)
            }
            try start(data, settings: arguments["--set"])
        }
        try await waitUntilFormed(path, directories, settings: arguments["--set"])
        Terminal.note("\(count) \(count == 1 ? "daemon" : "daemons") running under \(path)")
        guard let mount = arguments["--mount"] else { return 0 }
        let mountPath = LocalFile.absolute(mount)
        if MountTable.entry(at: mountPath) == nil, !LocalFile.exists(mountPath) { try LocalFile.makeDirectory(mountPath) }
        if !isMounted(at: mountPath, of: path) {
            var words = ["mount", "--foreground", "--keep", "--data", path, mountPath]
            if let settings = arguments["--set"] { words += ["--set", settings] }
            do throws(DaemonError) {
                let process = try ChildProcess.start(words, logPath: LocalCluster.mountLogPath(path))
                try LocalFile.write(Array("\(process)\n\(mountPath)\n".utf8), to: LocalCluster.mountPidPath(path))
            } catch {
                // The keeper of an earlier mount was faster.
                guard isMounted(at: mountPath, of: path) else { throw error }
            }
        }
        Terminal.note("mounted at \(mountPath)")
        return 0
    }

    private static func isMounted(at mountPath: String, of path: String) -> Bool {
        guard let entry = MountTable.entry(at: mountPath), entry.type == "fuse.dhtfs", entry.source == "dhtfs:\(path)" else { return false }
        return !MountPoint.isDead(mountPath)
    }

    /// Waits until all nodes are in the layout and the metadata group has its voters: only then the cluster survives the loss of a node.
    @LoopActor private static func waitUntilFormed(_ path: String, _ directories: [String], settings: String?) async throws(DaemonError) {
        var configuration = Configuration()
        try Settings.apply(settings, to: &configuration)
        let client = try ClientStack(Settings(directories: Settings.find(path), configuration: configuration))
        let clock = client.services.environment.clock
        let nodes = directories.count
        let deadline = clock.now + UInt64(configuration.deadlineSeconds) * Nanoseconds.second
        let starting = Task { @LoopActor in await startEnded(directories, settings: settings, clock) }
        defer { starting.cancel() }
        while true {
            let answers = await StatusCommand.collect(client.services.layouts.current.layout.members, client).compactMap(\.status)
            let newest = answers.map(\.layoutVersion).max() ?? 0
            let leader = answers.first { $0.role == "leader" }
            if answers.count == nodes, answers.allSatisfy({ $0.layoutVersion == newest }), leader?.voters.count == min(3, nodes) { return }
            guard clock.now < deadline else {
                throw DaemonError(.cluster, "\(answers.count) of \(nodes) nodes came together in \(configuration.deadlineSeconds) s; see `dhtfs status` and the logs in \(path)/node*/daemon.log")
            }
            await clock.sleep(nanoseconds: 50 * Nanoseconds.millisecond)
            _ = try await client.services.currentLayouts()
        }
    }

    /// Starts daemons that have ended since they were taken for running, until it is cancelled or one cannot be started. One that was killed holds its lock
    /// until its last thread is gone.
    @LoopActor private static func startEnded(_ directories: [String], settings: String?, _ clock: any Clock) async {
        while !Task.isCancelled {
            await clock.sleep(nanoseconds: Nanoseconds.second)
            do throws(DaemonError) {
                for data in directories where !Task.isCancelled { try start(data, settings: settings) }
            } catch {
                return Terminal.note("dhtfs: \(error)")
            }
        }
    }

    /// Makes node `number`: the first one by `init`, the others by a token of the first.
    @LoopActor private static func make(_ number: Int, data: String, first: String, port: Int, replicas: Int) async throws(DaemonError) {
        var configuration = Configuration()
        try configuration.set("listen", "127.0.0.1:\(port)", source: "--port")
        let text = "# Settings of this node; Mount/dhtfs.conf of the sources explains all of them.\nlisten = 127.0.0.1:\(port)\n"
        if number == 1 {
            _ = try NodeMaker.initialize(
                at: data, address: try configuration.nodeAddress(socketPath: data + "/dhtfs.sock"), replicas: replicas, zone: "", weight: 1,
                configuration: text)
            return
        }
        let node = NewNode(configuration: configuration, text: text)
        let token = try await TokenCommand.create(Settings(directories: Settings.find(first), configuration: Configuration()), lifetimeSeconds: 600)
        try await JoinCommand.join(token, data: data, node)
    }

    /// Starts the daemon of a data directory unless it runs, and waits until it serves.
    private static func start(_ data: String, settings: String?) throws(DaemonError) {
        if LocalProcess.running(pidPath: data + "/pid", lockPath: data + "/lock") != nil { return }
        var words = ["daemon", "--data", data]
        if let settings { words += ["--set", settings] }
        _ = try ChildProcess.start(words, logPath: data + "/daemon.log")
    }
}
