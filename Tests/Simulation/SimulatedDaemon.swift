import BlockStore
package import Daemon
import Metadata
import Model
import Ring
package import Runtime
import Telemetry
import TestSupport
import Blocks

/// A daemon's process on a simulated machine: the services of a real one, over the machine's disk and stores.
@LoopActor
package final class SimulatedDaemon: Sendable {
    package let process: SimulatedProcess
    package let machine: SimulatedMachine
    /// nil while it starts, or if it could not.
    package private(set) var services: NodeServices?
    /// Why it could not start, or why its metadata server gave up.
    package private(set) var failure: String?

    init(_ machine: SimulatedMachine, _ world: SimulatedWorld) {
        self.machine = machine
        process = SimulatedProcess(name: machine.name)
        process.onDeath { machine.stores.crash(.process) }
        let environment = machine.environment(process, identity: Peer(role: .node, node: machine.node, label: machine.name))
        let log = world.log(machine.name, process)
        Task { @LoopActor in
            do throws(DaemonError) { try await self.start(environment, log) } catch {
                self.failure = error.cause
                world.trace.add(world.time.now, machine.name, "cannot start: \(error.cause)")
            }
        }
    }

    private func start(_ environment: Environment, _ log: Log) async throws(DaemonError) {
        let root = "/var/lib/dhtfs"
        var blocks = BlockStoreOptions(cluster: SimulatedWorld.cluster, node: machine.node)
        // Small, so that segments fill, are compacted and end within a minute.
        blocks.segmentBytes = 1 << 20
        blocks.blockBytesMax = 256 << 10
        blocks.reserveBytes = 2 << 20
        blocks.indexFlushBytes = 1 << 20
        var metadata = MetadataOptions(cluster: SimulatedWorld.cluster, node: machine.node, logDirectory: root + "/raft")
        metadata.logSegmentBytes = 128 << 10
        metadata.compactEntries = 200
        metadata.compactBytes = 256 << 10
        metadata.keptEntries = 50
        var settings = NodeSettings(
            cluster: SimulatedWorld.cluster, node: machine.node, address: machine.address, segmentsDirectory: root + "/blocks/segments", blocks: blocks,
            metadata: metadata, isFounding: machine.isFounding)
        settings.audit.rest = Nanoseconds.minute
        do throws(DiskError) { try await environment.disk.createDirectory(settings.segmentsDirectory) } catch {
            throw DaemonError(.dataDirectory, error.cause)
        }
        let services = try await NodeServices.start(
            settings, try machine.stores.open(environment.disk), environment: environment, layouts: LayoutTable(machine.view), log: log)
        machine.isFounding = false
        services.onLayout = { [machine, process] layouts in if !process.isDead { machine.view = layouts } }
        services.metadata.onFailure = { [weak self] cause in self?.failure = cause }
        try services.open(at: [.unix(path: machine.address.socketPath), .tcp(host: machine.address.host, port: machine.address.port)])
        self.services = services
    }

    /// Orderly end of the process.
    func stop() async {
        await services?.stop()
        process.kill()
    }
}
