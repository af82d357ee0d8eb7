import Bytes
import Credentials
import Daemon
import Model
import Runtime
import Telemetry
import Transport
import Wire

/// `dhtfs join`.
enum JoinCommand {
    static let command = Command(
        name: "join", summary: "make this machine a node of a cluster, with a token of `dhtfs token create`", operands: ["TOKEN"],
        flags: InitCommand.command.flags.filter { $0.name != "--replicas" },
        details: "The token tells where the cluster is and pins its authority: a wrong cluster is noticed before anything is sent. It is good for one join.", run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let path = Settings.dataPath(arguments)
        let node = try NewNode(arguments)
        let token: JoinToken
        do throws(CredentialsError) { token = try JoinToken(text: arguments.operands[0]) } catch { throw DaemonError(.usage, error.cause) }
        let directory = try await join(token, data: path, node)
        if arguments.isOn("--json") {
            Terminal.print(JSON.object([("cluster", .string("\(directory.cluster)")), ("node", .string("\(directory.node)")), ("data", .string(path))]).text)
        } else {
            Terminal.print("Joined cluster \(directory.cluster) as node \(directory.node) in \(path).\nStart it with: dhtfs daemon --data \(path)")
        }
        return 0
    }

    /// Asks the cluster for admission and makes the data directory.
    @discardableResult
    @LoopActor static func join(_ token: JoinToken, data path: String, _ node: NewNode) async throws(DaemonError) -> DataDirectory {
        // Refused before the token is used up.
        try DataDirectory.requireVacant(path)
        _ = try node.address(socketPath: path + "/dhtfs.sock")
        let identity = NodeID(rawValue: try NodeMaker.draw())
        let keys: NodeKeys
        do throws(CredentialsError) { keys = try NodeKeys() } catch { throw DaemonError(.system, error.cause) }
        let request = JoinRequest(secret: token.secret, node: identity, nodeRequest: keys.nodeRequest.pem, mountRequest: keys.mountRequest.pem)
        let reply = try await ask(request, token)
        return try NodeMaker.admitted(at: path, cluster: token.cluster, node: identity, keys: keys, reply: reply, configuration: node.text)
    }

    @LoopActor private static func ask(_ request: JoinRequest, _ token: JoinToken) async throws(DaemonError) -> JoinReply {
        let log = Log(component: "join", level: .error)
        let network: SocketNetwork
        do throws(NetworkError) {
            network = try SocketNetwork(cluster: token.cluster, identity: .joining(pin: token.fingerprint), log: log)
        } catch { throw DaemonError(.system, error.cause) }
        let environment = Environment.system(network: network)
        let address = NodeAddress(host: token.host, port: token.port, machine: "", socketPath: "")
        let settings = ChannelSettings(
            identity: ChannelIdentity(cluster: token.cluster, node: nil, role: .anonymous, machine: ""), handler: nil, log: log)
        let connections = Connections(environment: environment, addresses: AddressBook([token.node: address]), settings: settings)
        do throws(TransportError) {
            let reply = try await connections.call(token.node, .join, Message(body: request.encoded), timeout: 30 * Nanoseconds.second)
            guard let decoded = try? JoinReply(decoding: reply.body) else {
                throw TransportError(.malformed, "the answer cannot be read; use the same version of dhtfs on all nodes")
            }
            return decoded
        } catch { throw DaemonError(.cluster, "\(token.host):\(token.port) refused: \(error.cause)") }
    }
}
