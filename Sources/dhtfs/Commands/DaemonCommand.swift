import Daemon
import Glibc
import Runtime

/// `dhtfs daemon`.
enum DaemonCommand {
    static let command = Command(
        name: "daemon", summary: "run this machine's node until SIGTERM", flags: [.data, .config, .set],
        details: "Runs in the foreground and logs to standard error; systemd units are in Mount/. SIGTERM and SIGINT stop it in order.", run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        do throws(DaemonError) {
            let settings = try Settings(arguments)
            guard settings.directories.count == 1 else {
                throw DaemonError(.usage, "\(Settings.dataPath(arguments)) is a local cluster: start it with `dhtfs up`, or one node of it with --data \(settings.directories[0].path)")
            }
            let ending = Ending()
            Signals.on(SIGTERM) { ending.request() }
            Signals.on(SIGINT) { ending.request() }
            let service = try await DaemonService.start(settings.directories[0], settings.configuration, program: "dhtfs \(Version.number)")
            ChildProcess.reportReady()
            var startsAnew = false
            service.onRestartWanted = {
                startsAnew = true
                ending.request()
            }
            await ending.wait()
            await service.stop()
            if startsAnew { throw ChildProcess.becomeAnew() }
            return 0
        } catch {
            ChildProcess.report(error.cause)
            throw error
        }
    }
}

/// Lets a task wait for a signal; one that came before counts.
@LoopActor
final class Ending: Sendable {
    private var isRequested = false
    private var waiter: UnsafeContinuation<Void, Never>?

    func request() {
        isRequested = true
        waiter?.resume()
        waiter = nil
    }

    func wait() async {
        if isRequested { return }
        await withUnsafeContinuation { waiter = $0 }
    }
}
