package import Bytes
package import Model

/// The first words of each end of a connection.
package struct Hello: Equatable, Sendable, ByteCodable {
    /// The one version that this code speaks.
    package static let currentVersion: UInt16 = 4

    /// Stands first and alone decides whether the rest is understood.
    package var version: UInt16
    package var cluster: ClusterID
    /// The daemon that speaks; nil for anybody else.
    package var node: NodeID?
    /// As what the speaker wants to be treated. Only what was proven counts; on a Unix socket it chooses among what the user may be.
    package var role: Role

    package init(version: UInt16 = Hello.currentVersion, cluster: ClusterID, node: NodeID?, role: Role) {
        self.version = version
        self.cluster = cluster
        self.node = node
        self.role = role
    }

    /// - Throws: `.invalid("version N")` for another version, whatever follows.
    package init(from reader: inout ByteReader) throws(DecodeError) {
        version = try reader.integer()
        guard version == Self.currentVersion else { throw .invalid("version \(version)") }
        cluster = try ClusterID(from: &reader)
        let id = try NodeID(from: &reader)
        node = id.rawValue == 0 ? nil : id
        guard let role = Role(rawValue: try reader.integer()) else { throw .invalid("role") }
        self.role = role
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(version)
        cluster.encode(to: &writer)
        (node ?? NodeID(rawValue: 0)).encode(to: &writer)
        writer.integer(role.rawValue)
    }
}
