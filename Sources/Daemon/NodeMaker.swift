import Bytes
import CPosix
package import Credentials
package import Model
import Ring

/// Makes nodes: the first one of a new cluster, and the data directory of one that was admitted to an existing cluster.
package enum NodeMaker {
    /// Makes a cluster with one node.
    /// - Parameters:
    ///   - replicas: copies of each block once there are enough nodes.
    ///   - configuration: text of `node.conf`.
    package static func initialize(
        at path: String, address: NodeAddress, replicas: Int, zone: String, weight: Int, configuration: String
    ) throws(DaemonError) -> DataDirectory {
        try DataDirectory.requireVacant(path)
        let cluster = ClusterID(rawValue: try draw())
        let node = NodeID(rawValue: try draw())
        let layout: Layout
        do throws(RingError) {
            layout = try Layout(version: 1, replicas: replicas, members: [LayoutMember(node: node, address: address, weight: weight, zone: zone)])
        } catch { throw DaemonError(.usage, error.cause) }
        let authority: CertificateAuthority
        let keys: NodeKeys
        let certificates: (node: Certificate, mount: Certificate)
        do throws(CredentialsError) {
            authority = try CertificateAuthority.create(cluster: cluster)
            keys = try NodeKeys()
            certificates = try issue(authority, node: node, nodeRequest: keys.nodeRequest, mountRequest: keys.mountRequest)
        } catch { throw DaemonError(.system, "cannot make the cluster's certificates: \(error.cause)") }
        return try DataDirectory.create(
            at: path, cluster: cluster, node: node, authority: authority.certificate, keys: keys, nodeCertificate: certificates.node,
            mountCertificate: certificates.mount, authorityKey: authority.key, configuration: configuration, view: LayoutHistory(layout).encoded,
            founding: true)
    }

    /// Makes the data directory of a node from what the cluster answered.
    package static func admitted(
        at path: String, cluster: ClusterID, node: NodeID, keys: NodeKeys, reply: JoinReply, configuration: String
    ) throws(DaemonError) -> DataDirectory {
        guard let history = try? LayoutHistory(decoding: reply.layout) else {
            throw DaemonError(.cluster, "the cluster answered with a layout that cannot be read; use the same version of dhtfs on all nodes")
        }
        return try DataDirectory.create(
            at: path, cluster: cluster, node: node, authority: Certificate(pem: reply.authorityCertificate), keys: keys,
            nodeCertificate: Certificate(pem: reply.nodeCertificate), mountCertificate: Certificate(pem: reply.mountCertificate), authorityKey: nil,
            configuration: configuration, view: history.encoded, founding: false)
    }

    /// Signs what a machine asked for.
    package static func issue(
        _ authority: CertificateAuthority, node: NodeID, nodeRequest: CertificateRequest, mountRequest: CertificateRequest
    ) throws(CredentialsError) -> (node: Certificate, mount: Certificate) {
        (try authority.issue(.node(node), for: nodeRequest), try authority.issue(.mount("\(node)"), for: mountRequest))
    }

    /// A random id that is not 0.
    package static func draw() throws(DaemonError) -> UInt64 {
        var value: UInt64 = 0
        while value == 0 {
            let drawn = withUnsafeMutablePointer(to: &value) { CPosix_random($0, MemoryLayout<UInt64>.size) }
            guard drawn == 0 else { throw systemError("no randomness") }
        }
        return value
    }
}

/// Fresh keys of a node and of its machine's mounts, with the requests for their certificates.
package struct NodeKeys: Sendable {
    package let node: PrivateKey
    package let mount: PrivateKey
    package let nodeRequest: CertificateRequest
    package let mountRequest: CertificateRequest

    package init() throws(CredentialsError) {
        node = try PrivateKey.generate()
        mount = try PrivateKey.generate()
        nodeRequest = try CertificateRequest(key: node)
        mountRequest = try CertificateRequest(key: mount)
    }
}
