package import Runtime
import Wire
package import Model
package import Telemetry

/// Who a process says it is when it greets another.
package struct ChannelIdentity: Sendable {
    /// nil only for a machine that joins and does not know.
    package var cluster: ClusterID?
    /// nil for anything but a daemon.
    package var node: NodeID?
    package var role: Role
    /// Equal in all processes of one machine (see `NodeAddress.machine`).
    package var machine: String

    package init(cluster: ClusterID?, node: NodeID?, role: Role, machine: String) {
        self.cluster = cluster
        self.node = node
        self.role = role
        self.machine = machine
    }
}

/// What all channels of a server or of a client have in common.
@LoopActor
package final class ChannelSettings {
    package let identity: ChannelIdentity
    /// As what a process of root or of our own user may ask to be treated on a Unix socket. Also where `identity.role` is among them, Unix
    /// sockets are used to reach daemons of this machine.
    package let unixRoles: [Role]
    let handler: RequestHandler?
    let log: Log
    /// Requests refused for want of permission since the start.
    package private(set) var deniedCount: UInt64 = 0
    private var deniedLogged: Set<String> = []

    /// - Parameter handler: nil refuses every request with `.unavailable`.
    package init(
        identity: ChannelIdentity, handler: RequestHandler?, log: Log, unixRoles: [Role] = [.administrator, .mount]
    ) {
        self.identity = identity
        self.handler = handler
        self.log = log
        self.unixRoles = unixRoles
    }

    /// Counts a refusal, and logs it the first time for this peer and kind.
    func countDenial(_ peer: Peer, _ kind: RequestKind) {
        deniedCount &+= 1
        // A peer comes from another port each time; its role and id stay.
        let key = "\(peer.role)/\(peer.node.map(\.description) ?? "")/\(kind)"
        guard deniedLogged.count < Self.deniedLoggedMax, deniedLogged.insert(key).inserted else { return }
        log.warning("request denied", ["peer": peer.label, "role": "\(peer.role)", "request": "\(kind)"])
    }

    private static let deniedLoggedMax = 1024
}
