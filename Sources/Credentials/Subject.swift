package import Model

/// Whom a certificate names: a URI in its subject alternative name. Nothing else in a certificate is an identity.
package enum Subject: Equatable, Sendable {
    case node(NodeID)
    /// A client of files; the name is 1 ... 64 of `a-z A-Z 0-9 . _ -`.
    case mount(String)

    package func uri(cluster: ClusterID) -> String {
        switch self {
        case .node(let node): "dhtfs://cluster/\(cluster)/node/\(node)"
        case .mount(let name): "dhtfs://cluster/\(cluster)/mount/\(name)"
        }
    }

    /// A short form for the certificate's common name, which only people read.
    var commonName: String {
        switch self {
        case .node(let node): "dhtfs node \(node)"
        case .mount(let name): "dhtfs mount \(name)"
        }
    }
}
