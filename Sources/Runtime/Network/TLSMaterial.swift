package import Model

/// What a member of a cluster proves itself with. PEM, as the files hold it.
package struct TLSMaterial: Sendable {
    /// Certificate of the cluster's own authority, the only one that is trusted.
    package var authority: [UInt8]
    /// Own certificate, signed by the authority; its only URI among the alternative names is a `CertificateIdentity`.
    package var certificate: [UInt8]
    package var privateKey: [UInt8]

    package init(authority: [UInt8], certificate: [UInt8], privateKey: [UInt8]) {
        self.authority = authority
        self.certificate = certificate
        self.privateKey = privateKey
    }
}

/// Who a process is when it opens or accepts connections.
package enum SocketIdentity: Sendable {
    /// A member with a certificate.
    case member(TLSMaterial)
    /// A machine that has no certificate yet and knows the authority by the SHA-256 of its certificate in DER form (32 bytes). Can connect, not
    /// listen on TCP.
    case joining(pin: [UInt8])
    /// A process that only uses Unix sockets.
    case local
}

/// What a certificate says about its owner: the URI `dhtfs://cluster/<cluster>/node/<node>` or `dhtfs://cluster/<cluster>/mount/<name>`, ids in
/// 16 hexadecimal digits.
package struct CertificateIdentity: Equatable, Sendable {
    package enum Subject: Equatable, Sendable {
        case node(NodeID)
        case mount(String)
    }

    package var cluster: ClusterID
    package var subject: Subject

    package init(cluster: ClusterID, subject: Subject) {
        self.cluster = cluster
        self.subject = subject
    }

    /// nil for anything but the two forms.
    package init?(uri: String) {
        guard uri.utf8.count <= 255, uri.hasPrefix(Self.prefix) else { return nil }
        let parts = uri.dropFirst(Self.prefix.count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, let cluster = ClusterID(hexadecimal: String(parts[0])) else { return nil }
        switch parts[1] {
        case "node":
            guard let node = NodeID(hexadecimal: String(parts[2])), node.rawValue != 0 else { return nil }
            subject = .node(node)
        case "mount":
            guard !parts[2].isEmpty else { return nil }
            subject = .mount(String(parts[2]))
        default:
            return nil
        }
        self.cluster = cluster
    }

    package var uri: String {
        switch subject {
        case .node(let node): "\(Self.prefix)\(cluster)/node/\(node)"
        case .mount(let name): "\(Self.prefix)\(cluster)/mount/\(name)"
        }
    }

    private static let prefix = "dhtfs://cluster/"
}
