import Daemon
import Runtime
import Model

/// `dhtfs init`.
enum InitCommand {
    static let command = Command(
        name: "init", summary: "make a cluster: its id, its certificate authority and its first node",
        flags: [
            .data, Flag("--listen", "HOST:PORT", "where the daemon listens (default 0.0.0.0:7070)"),
            Flag("--advertise", "HOST:PORT", "what other machines connect to (default: this host's name and the port of --listen)"),
            Flag("--replicas", "R", "copies of each block once there are that many nodes, 1 to 8 (default 3)"),
            Flag("--zone", "NAME", "failure domain of this node, such as its rack"), Flag("--weight", "N", "share of the blocks, 1 to 64 (default 1)"),
            Flag("--machine", "NAME", "name of the machine (default: its machine id); nodes with the same name talk through Unix sockets"), .json,
        ],
        details: "Start the node with `dhtfs daemon`, mount with `dhtfs mount`, add machines with `dhtfs token create` and `dhtfs join`.",
        run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let path = Settings.dataPath(arguments)
        let node = try NewNode(arguments)
        let directory = try NodeMaker.initialize(
            at: path, address: node.address(socketPath: path + "/dhtfs.sock"), replicas: try arguments.number("--replicas", 1...8) ?? 3,
            zone: node.configuration.zone, weight: node.configuration.weight, configuration: node.text)
        if arguments.isOn("--json") {
            Terminal.print(JSON.object([("cluster", .string("\(directory.cluster)")), ("node", .string("\(directory.node)")), ("data", .string(path))]).text)
        } else {
            Terminal.print("Made cluster \(directory.cluster) with node \(directory.node) in \(path).\nStart it with: dhtfs daemon --data \(path)")
        }
        return 0
    }
}

/// What `init` and `join` are told about the node to be made.
struct NewNode {
    var configuration = Configuration()
    /// The text of its `node.conf`.
    var text: String

    init(configuration: Configuration, text: String) {
        self.configuration = configuration
        self.text = text
    }

    init(_ arguments: Arguments) throws(DaemonError) {
        var lines = ["# Settings of this node; Mount/dhtfs.conf of the sources explains all of them."]
        for (flag, key) in [("--listen", "listen"), ("--advertise", "advertise"), ("--machine", "machine"), ("--zone", "zone"), ("--weight", "weight")] {
            guard let value = arguments[flag] else { continue }
            try configuration.set(key, value, source: flag)
            lines.append("\(key) = \(value)")
        }
        text = lines.joined(separator: "\n") + "\n"
    }

    /// What the other nodes are told.
    func address(socketPath: String) throws(DaemonError) -> NodeAddress { try configuration.nodeAddress(socketPath: socketPath) }
}
