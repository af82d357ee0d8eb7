package import Daemon
package import Filesystem
package import Metadata
import Model
package import Runtime
import Telemetry
import Transport

/// A mount's process on a simulated machine, without a kernel: the services and the files of a real one.
@LoopActor
package final class SimulatedClient: Sendable {
    package let name: String
    package let process: SimulatedProcess
    package let environment: Environment
    package let services: ClientServices
    /// nil until the session is open.
    package private(set) var metadata: LeaderMetadataClient?
    package private(set) var files: DistributedFilesystem?
    private var waiting: [UnsafeContinuation<Void, Never>] = []

    init(_ name: String, on machine: SimulatedMachine, _ world: SimulatedWorld, role: Role) {
        self.name = name
        process = SimulatedProcess(name: name)
        environment = machine.environment(process, identity: Peer(role: role, node: nil, label: name))
        let log = world.log(name, process)
        services = ClientServices(
            identity: ChannelIdentity(cluster: SimulatedWorld.cluster, node: nil, role: role, machine: machine.name), environment: environment,
            known: machine.view, ownNode: machine.node, deadline: 60 * Nanoseconds.second, log: log)
        Task { @LoopActor in await self.mount(log) }
    }

    private func mount(_ log: Log) async {
        while true {
            do throws(DaemonError) {
                let metadata = try await services.openSession(name: name)
                var options = FilesystemOptions()
                options.blockSize = SimulatedWorld.blockSize
                options.cacheBytes = 4 << 20
                options.dirtyBytes = 1 << 20
                options.checkpointBytes = 256 << 10
                options.extentsPerRegion = 64
                let files = services.filesystem(metadata, options)
                services.followLayout(metadata)
                self.metadata = metadata
                self.files = files
                for continuation in waiting { continuation.resume() }
                waiting = []
                return
            } catch {
                // A cluster that is just being made has no layout yet, or no leader: so would a user's mount be tried again.
                log.info("cannot mount yet", ["cause": error.cause])
                await environment.clock.sleep(nanoseconds: Nanoseconds.second)
            }
        }
    }

    /// The files, once the session is open.
    package func mounted() async -> DistributedFilesystem {
        if let files { return files }
        await withUnsafeContinuation { waiting.append($0) }
        return await mounted()
    }
}
