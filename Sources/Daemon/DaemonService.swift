import BlockStore
import Blocks
import Bytes
import Credentials
import Glibc
import Metadata
import Model
import OrderedStore
import Ring
import RocksStore
package import Runtime
import Telemetry
import Transport

/// One daemon as a process of a machine: its data directory, its credentials, its sockets, around its `NodeServices`.
@LoopActor
package final class DaemonService {
    package let directory: DataDirectory
    package let configuration: Configuration
    let services: NodeServices
    let log: Log
    let program: String
    private let memory: ResidentMemory
    private var isStopping = false
    /// Called once when this daemon should be stopped and started anew: its metadata server had stopped on a full disk, and there is room again.
    package var onRestartWanted: (@LoopActor () -> Void)?

    /// Starts everything; returns when requests are served.
    /// - Parameter program: name and version, for `status`.
    package static func start(_ directory: DataDirectory, _ configuration: Configuration, program: String) async throws(DaemonError) -> DaemonService {
        try directory.lock()
        let log = Log(component: "daemon", level: configuration.logLevel)
        let address = try configuration.nodeAddress(socketPath: directory.socketPath)
        let material = try directory.nodeMaterial()
        let network: SocketNetwork
        do throws(NetworkError) {
            network = try SocketNetwork(
                cluster: directory.cluster, identity: .member(material), allowsAnonymous: true, log: log.named("network"))
        } catch { throw DaemonError(.dataDirectory, error.cause) }
        let environment = Environment.system(network: network)
        let layouts = LayoutTable(try ClusterView.read(directory.viewPath))

        var blocks = BlockStoreOptions(cluster: directory.cluster, node: directory.node)
        blocks.reserveBytes = UInt64(configuration.reserveMebibytes) << 20
        blocks.segmentBytes = segmentBytes(of: 256 << 20, on: directory, atLeast: 8 << 20)
        var metadata = MetadataOptions(cluster: directory.cluster, node: directory.node, logDirectory: directory.path + "/raft")
        metadata.logSegmentBytes = segmentBytes(of: metadata.logSegmentBytes, on: directory, atLeast: 2 << 20)
        let settings = NodeSettings(
            cluster: directory.cluster, node: directory.node, address: address, weight: configuration.weight, zone: configuration.zone,
            segmentsDirectory: directory.path + "/blocks/segments", blocks: blocks, metadata: metadata,
            isFounding: LocalFile.exists(directory.foundingPath))
        try LocalFile.makeDirectory(settings.segmentsDirectory)
        let services = try await NodeServices.start(settings, try openStores(directory), environment: environment, layouts: layouts, log: log)
        // The group exists on disk now. A log that is lost later must not be founded again.
        if settings.isFounding, unlink(directory.foundingPath) != 0 { log.warning("cannot remove \(directory.foundingPath)") }
        let daemon = DaemonService(directory: directory, configuration: configuration, services: services, log: log, program: program)
        try daemon.open()
        return daemon
    }

    private static func openStores(_ directory: DataDirectory) throws(DaemonError) -> NodeStores {
        let index: RocksStore
        do throws(StoreError) { index = try RocksStore(directory: directory.path + "/blocks/index") } catch {
            throw DaemonError(.dataDirectory, "the block store cannot be opened: \(error.cause)")
        }
        do throws(StoreError) {
            let resync = try RocksStore(directory: directory.path + "/resync", durability: .logged)
            return NodeStores(blockIndex: index, resync: resync, state: StateStores(directory: directory.path + "/meta"))
        } catch { throw DaemonError(.dataDirectory, "the queue of owed copies cannot be opened: \(error.cause)") }
    }

    /// Segments are reserved whole, so on a small disk they are smaller: at most a 64th of it.
    private static func segmentBytes(of usual: UInt64, on directory: DataDirectory, atLeast least: UInt64) -> UInt64 {
        var space = statvfs()
        guard statvfs(directory.path, &space) == 0 else { return usual }
        let total = UInt64(space.f_blocks) * UInt64(space.f_frsize)
        return max(least, min(usual, total / 64))
    }

    private init(directory: DataDirectory, configuration: Configuration, services: NodeServices, log: Log, program: String) {
        self.directory = directory
        self.configuration = configuration
        self.services = services
        self.log = log
        self.program = program
        memory = ResidentMemory(services.environment)
    }

    private func open() throws(DaemonError) {
        let viewPath = directory.viewPath
        services.onLayout = { [log] layouts in
            do throws(DaemonError) { try ClusterView.write(layouts, viewPath) } catch { log.warning("\(error)") }
        }
        services.metadata.hasEnded = { Self.hasEnded($0) }
        services.admit = { [weak self] message throws(TransportError) in
            guard let self else { throw TransportError(.unavailable, "the daemon is stopping") }
            return try await admit(message)
        }
        services.describe = { [weak self] in await self?.status() }
        try services.open(at: [
            .unix(path: directory.socketPath), .tcp(host: configuration.listen.host, port: configuration.listen.port),
        ])
        try LocalFile.write(Array("\(getpid())\n".utf8), to: directory.pidPath)
        log.info("serving", ["node": "\(directory.node)", "cluster": "\(directory.cluster)", "listen": "\(configuration.listen)"])
        watchForRoom()
    }

    private static let roomCheckPeriod = 5 * Nanoseconds.second

    /// A metadata server that had to stop on a full disk cannot go on: RocksDB and the core have promised things since that they could not keep. On the
    /// disk all is sound, so a daemon that starts anew can.
    private func watchForRoom() {
        _ = services.environment.clock.schedule(after: Self.roomCheckPeriod) { [weak self] in
            guard let self, !isStopping else { return }
            guard services.metadata.isOutOfSpace, hasRoom else { return watchForRoom() }
            log.warning("there is room on the disk again; the daemon starts anew")
            onRestartWanted?()
        }
    }

    /// As much as is kept free of blocks, and some segments of the log at least.
    private var hasRoom: Bool {
        var space = statvfs()
        guard statvfs(directory.path, &space) == 0 else { return false }
        return UInt64(space.f_bavail) &* UInt64(space.f_frsize) >= max(UInt64(configuration.reserveMebibytes) << 20, 16 << 20)
    }

    /// A process of this machine, known by its number from the Unix socket's credentials, that is there no more. One whose number was given to another
    /// process meanwhile counts as living.
    private static func hasEnded(_ peer: Peer) -> Bool {
        guard peer.label.hasPrefix("unix:"), let process = pid_t(peer.label.dropFirst(5)), process > 0 else { return false }
        return kill(process, 0) != 0 && errno == ESRCH
    }

    /// Stops in order.
    package func stop() async {
        guard !isStopping else { return }
        isStopping = true
        log.info("stopping")
        memory.stop()
        await services.stop()
        unlink(directory.pidPath)
        log.info("stopped")
    }

    /// What this daemon says of itself.
    func status() async -> NodeStatus {
        var status = await services.status()
        status.program = program
        status.residentBytes = ResidentMemory.bytes()
        return status
    }
}
