import Daemon
import Runtime
import Glibc

/// `dhtfs down`.
enum DownCommand {
    static let command = Command(
        name: "down", summary: "stop a local cluster that `dhtfs up` started", operands: ["DIR"],
        flags: [Flag("--lazy", nil, "detach the mount even if files are open")], details: "Unmounts first, then stops the daemons in order. Harmless if nothing runs.",
        run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let path = LocalFile.absolute(arguments.operands[0])
        let names = LocalCluster.nodeNames(in: path)
        guard !names.isEmpty else { throw DaemonError(.dataDirectory, "\(path) holds no local cluster of `dhtfs up`") }
        for entry in MountTable.all() where entry.type == "fuse.dhtfs" && entry.source == "dhtfs:\(path)" {
            try UnmountCommand.unmount(entry.path, lazy: arguments.isOn("--lazy"))
        }
        if let process = LocalProcess.pid(in: LocalCluster.mountPidPath(path)) { LocalProcess.waitForEnd(of: process, named: "dhtfs") }
        unlink(LocalCluster.mountPidPath(path))
        var processes: [pid_t] = []
        for name in names {
            let data = "\(path)/\(name)"
            guard let process = LocalProcess.running(pidPath: data + "/pid", lockPath: data + "/lock") else { continue }
            if kill(process, SIGTERM) == 0 { processes.append(process) }
        }
        for process in processes { LocalProcess.waitForEnd(of: process, named: "dhtfs") }
        Terminal.note(processes.isEmpty ? "nothing was running" : "stopped \(processes.count) \(processes.count == 1 ? "daemon" : "daemons")")
        return 0
    }
}
