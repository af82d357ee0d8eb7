import Daemon
import Filesystem
import Glibc
import Metadata
import Model
import Ring
import Runtime
import Telemetry
import Transport

/// A mount or a command as a process of a machine: its credentials, the layouts its data directories know, around its `ClientServices`.
@LoopActor
final class ClientStack: Sendable {
    let cluster: ClusterID
    let configuration: Configuration
    let services: ClientServices

    /// Reads credentials and layout; connects to nobody yet.
    /// - Parameters:
    ///   - isAdministrative: act with the rights of this machine's node, which only root can. The leader and the other nodes may be on other machines, where
    ///     the machine's certificate for mounts says no more than that somebody may use files.
    ///   - log: where warnings go; commands are quiet.
    init(_ settings: Settings, isAdministrative: Bool = false, log: Log = Log(component: "dhtfs", level: .error)) throws(DaemonError) {
        let directory = settings.directories[0]
        cluster = directory.cluster
        configuration = settings.configuration
        let material = isAdministrative ? try directory.nodeMaterial() : try directory.mountMaterial()
        let network: SocketNetwork
        do throws(NetworkError) {
            network = try SocketNetwork(cluster: cluster, identity: .member(material), log: log.named("network"))
        } catch { throw DaemonError(.dataDirectory, error.cause) }

        var newest = try ClusterView.read(directory.viewPath)
        for other in settings.directories.dropFirst() {
            if let view = try? ClusterView.read(other.viewPath), view.current.version > newest.current.version { newest = view }
        }
        let machine = settings.configuration.machine ?? Configuration.machineIdentifier()
        // On a Unix socket root's commands act as administrator; with the machine's certificate over TCP they are a mount.
        let role: Role = isAdministrative ? .node : getuid() == 0 ? .administrator : .mount
        services = ClientServices(
            identity: ChannelIdentity(cluster: cluster, node: isAdministrative ? directory.node : nil, role: role, machine: machine),
            environment: Environment.system(network: network),
            known: newest, ownNode: directory.node, deadline: UInt64(configuration.deadlineSeconds) * Nanoseconds.second, log: log)
    }

    func filesystem(_ metadata: any MetadataClient) -> DistributedFilesystem {
        var options = FilesystemOptions()
        options.cacheBytes = configuration.cacheMebibytes << 20
        options.dirtyBytes = min(configuration.dirtyMebibytes << 20, options.cacheBytes / 2)
        return services.filesystem(metadata, options)
    }
}
