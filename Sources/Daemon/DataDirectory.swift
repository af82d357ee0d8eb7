import CPosix
package import Credentials
import Glibc
package import Model
package import Runtime

/// What a daemon owns on its machine, and who it is.
///
///     format        what this directory is, and of whom; written last when it is made
///     lock          held by the daemon that runs (flock(2))
///     pid           of the daemon that runs, for people and for `dhtfs down`
///     node.conf     configuration; see Mount/dhtfs.conf
///     dhtfs.sock    for processes of this machine
///     view          the newest known layout, to find the cluster after a restart
///     founding      present until the daemon has founded the metadata group of a new cluster
///     tls/          ca.pem, node.pem, node.key, mount.pem, mount.key; ca.key only where the cluster was made
///     raft/         journal of the metadata service
///     meta/         state of the metadata service
///     blocks/       segments and index of the block store
///     resync/       copies still owed to other nodes
package struct DataDirectory: Sendable {
    /// The layout of this directory that this program writes and reads.
    package static let formatVersion = 3

    package let path: String
    package let cluster: ClusterID
    package let node: NodeID

    package var configurationPath: String { path + "/node.conf" }
    package var socketPath: String { path + "/dhtfs.sock" }
    package var viewPath: String { path + "/view" }
    package var pidPath: String { path + "/pid" }
    package var foundingPath: String { path + "/founding" }

    /// Makes a new data directory. Nothing is left behind if it fails half-way but files in a directory without `format`, which the next try replaces.
    package static func create(
        at path: String, cluster: ClusterID, node: NodeID, authority: Certificate, keys: NodeKeys, nodeCertificate: Certificate,
        mountCertificate: Certificate, authorityKey: PrivateKey?, configuration: String, view: [UInt8], founding: Bool
    ) throws(DaemonError) -> DataDirectory {
        try requireVacant(path)
        try LocalFile.makeDirectory(path + "/tls")
        try LocalFile.write(authority.pem, to: path + "/tls/ca.pem")
        try LocalFile.write(nodeCertificate.pem, to: path + "/tls/node.pem")
        try LocalFile.write(keys.node.pem, to: path + "/tls/node.key")
        try LocalFile.write(mountCertificate.pem, to: path + "/tls/mount.pem")
        try LocalFile.write(keys.mount.pem, to: path + "/tls/mount.key")
        if let authorityKey { try LocalFile.write(authorityKey.pem, to: path + "/tls/ca.key") }
        try LocalFile.write(Array(configuration.utf8), to: path + "/node.conf")
        try LocalFile.write(view, to: path + "/view")
        if founding { try LocalFile.write([], to: path + "/founding") }
        let format = "dhtfs data directory\nformat \(formatVersion)\ncluster \(cluster)\nnode \(node)\n"
        try LocalFile.write(Array(format.utf8), to: path + "/format")
        return DataDirectory(path: path, cluster: cluster, node: node)
    }

    /// - Throws: `.dataDirectory` if there is already a data directory or something else at `path`.
    package static func requireVacant(_ path: String) throws(DaemonError) {
        if LocalFile.exists(path + "/format") {
            throw DaemonError(.dataDirectory, "\(path) already is the data directory of a node; choose another with --data")
        }
        let leftovers = ["tls", "node.conf", "view", "founding"]
        let foreign = LocalFile.names(in: path).filter { !leftovers.contains($0) && !$0.hasSuffix(".new") }
        if !foreign.isEmpty {
            throw DaemonError(.dataDirectory, "\(path) is not empty (it holds \(foreign[0])); choose another with --data")
        }
    }

    /// Opens an existing one without taking its lock.
    package init(opening path: String) throws(DaemonError) {
        guard LocalFile.exists(path + "/format") else {
            throw DaemonError(.dataDirectory, "\(path) is no data directory of dhtfs; make one with `dhtfs init` or `dhtfs join`, or name another with --data")
        }
        let text = String(decoding: try LocalFile.read(path + "/format"), as: UTF8.self)
        var fields: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
        }
        guard let format = fields["format"].flatMap({ Int($0) }), let cluster = fields["cluster"].flatMap({ ClusterID(hexadecimal: $0) }),
            let node = fields["node"].flatMap({ NodeID(hexadecimal: $0) })
        else { throw DaemonError(.dataDirectory, "\(path)/format is damaged: it must name format, cluster and node") }
        guard format <= Self.formatVersion else {
            throw DaemonError(
                .dataDirectory, "\(path) has format \(format), newer than this program knows (\(Self.formatVersion)); use a newer dhtfs")
        }
        guard format == Self.formatVersion else { throw DaemonError(.dataDirectory, "\(path) has format \(format), which was never released") }
        self.init(path: path, cluster: cluster, node: node)
    }

    private init(path: String, cluster: ClusterID, node: NodeID) {
        self.path = path
        self.cluster = cluster
        self.node = node
    }

    /// Takes the lock for the life of the process.
    /// - Throws: `.dataDirectory` if another daemon has it.
    package func lock() throws(DaemonError) {
        let descriptor = CPosix_open(path + "/lock", O_RDWR | O_CREAT, 0o600)
        guard descriptor >= 0 else { throw systemError("cannot open \(path)/lock") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            let owner = (try? LocalFile.read(pidPath)).map { String(decoding: $0, as: UTF8.self) }?.split(separator: "\n").first
            throw DaemonError(.dataDirectory, "\(path) is in use by another daemon\(owner.map { " (process \($0))" } ?? "")")
        }
    }

    /// Keys and certificates of the daemon itself.
    package func nodeMaterial() throws(DaemonError) -> TLSMaterial {
        TLSMaterial(
            authority: try LocalFile.read(path + "/tls/ca.pem"), certificate: try secret("node.pem"), privateKey: try secret("node.key"))
    }

    /// Keys and certificates of the machine's mounts and commands.
    package func mountMaterial() throws(DaemonError) -> TLSMaterial {
        TLSMaterial(
            authority: try LocalFile.read(path + "/tls/ca.pem"), certificate: try secret("mount.pem"), privateKey: try secret("mount.key")
        )
    }

    /// The authority, where this is the node that made the cluster; nil elsewhere.
    package func authority() throws(DaemonError) -> CertificateAuthority? {
        guard LocalFile.exists(path + "/tls/ca.key") else { return nil }
        return CertificateAuthority(
            cluster: cluster, certificate: try authorityCertificate(), key: PrivateKey(pem: try secret("ca.key")))
    }

    package func authorityCertificate() throws(DaemonError) -> Certificate { Certificate(pem: try LocalFile.read(path + "/tls/ca.pem")) }

    /// Reads a file that only the owner may read.
    private func secret(_ name: String) throws(DaemonError) -> [UInt8] {
        let file = path + "/tls/" + name
        var status = stat()
        if stat(file, &status) == 0, name.hasSuffix(".key"), status.st_mode & 0o077 != 0 {
            throw DaemonError(.dataDirectory, "\(file) can be read by others; run: chmod 600 \(file)")
        }
        return try LocalFile.read(file)
    }
}
