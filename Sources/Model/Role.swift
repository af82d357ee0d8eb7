/// Who is on the other end of a connection, as far as permission goes. Proven by a certificate, or on a Unix socket by the
/// peer's user id.
package enum Role: UInt8, CaseIterable, Sendable {
    /// Nobody yet: a machine that wants to join and has no certificate. May only redeem a token.
    case anonymous = 0
    /// Another daemon of the cluster.
    case node = 1
    /// A mount or another client of files.
    case mount = 2
    /// The administrator: root on a machine of the cluster.
    case administrator = 3
}

/// The proven identity of a connection's other end.
package struct Peer: Equatable, Sendable {
    package var role: Role
    /// The daemon's id where `role` is `.node`.
    package var node: NodeID?
    /// For logs: an address or "unix:PID".
    package var label: String

    package init(role: Role, node: NodeID?, label: String) {
        self.role = role
        self.node = node
        self.label = label
    }
}
