import Bytes
@testable import Credentials
import Daemon
import Digest
@testable import Journal
import Model
import Runtime

extension FuzzTarget {
    /// What people and programs write as text: configuration, tokens, names in certificates and of files.
    static let text = FuzzTarget(
        name: "text",
        decoders: [
            Decoder("Configuration", seeds: [Array(Texts.configuration.utf8), Array("listen = [::1]:7070\r\n".utf8)]) { bytes throws(Violation) in
                var configuration = Configuration()
                let text = String(decoding: bytes, as: UTF8.self)
                do throws(DaemonError) { try configuration.apply(text: text, path: "node.conf") } catch {
                    try require(error.code == .usage && !error.description.contains("\n"), "not one line: \(error)")
                    return
                }
                try require((1...64).contains(configuration.weight) && configuration.zone.utf8.count <= 64, "a setting out of range was taken")
            },
            Decoder("HostPort", seeds: ["127.0.0.1:7070", "[fe80::1]:1", "host.example:65535"].map { Array($0.utf8) }) { bytes throws(Violation) in
                guard let address = HostPort(String(decoding: bytes, as: UTF8.self)) else { return }
                try require(HostPort(address.description) == address, "\(address) is read back as another")
            },
            Decoder("JoinToken", seeds: [Array(Texts.token.text.utf8)]) { bytes throws(Violation) in
                let text = String(decoding: bytes, as: UTF8.self)
                guard let token = try? JoinToken(text: text) else { return }
                try require(token.text == text, "a token has two forms")
            },
            Decoder("JoinToken with its checksum mended", seeds: [Texts.tokenBytes]) { bytes throws(Violation) in
                var writer = ByteWriter()
                writer.raw(bytes)
                writer.integer(CRC32C.checksum(bytes))
                let text = "dhtfs1:" + hexadecimal(writer.bytes)
                guard let token = try? JoinToken(text: text) else { return }
                try require(token.text == text, "a token has two forms")
            },
            Decoder(
                "CertificateIdentity",
                seeds: [
                    CertificateIdentity(cluster: ClusterID(rawValue: 0xC1), subject: .node(NodeID(rawValue: 0xAB))).uri,
                    CertificateIdentity(cluster: ClusterID(rawValue: 0xC1), subject: .mount("host-1")).uri,
                ].map { Array($0.utf8) }
            ) { bytes throws(Violation) in
                let text = String(decoding: bytes, as: UTF8.self)
                guard let identity = CertificateIdentity(uri: text) else { return }
                try require(identity.uri == text, "an identity has two names: \(text) and \(identity.uri)")
            },
            Decoder("identifiers", seeds: [Array("00000000000000ab".utf8), Array(someKey.description.utf8)]) { bytes throws(Violation) in
                let text = String(decoding: bytes, as: UTF8.self)
                if let node = NodeID(hexadecimal: text) { try require(node.description == text, "a node has two names: \(text)") }
                if let cluster = ClusterID(hexadecimal: text) { try require(cluster.description == text, "a cluster has two names: \(text)") }
                if let key = BlockKey(hexadecimal: text) { try require(key.description == text, "a block has two names: \(text)") }
            },
            Decoder("names of segments", seeds: [Array(SegmentHeader.name(of: 0x1F).utf8)]) { bytes throws(Violation) in
                let text = String(decoding: bytes, as: UTF8.self)
                if let number = SegmentHeader.number(of: text) {
                    try require(SegmentHeader.name(of: number) == text, "a segment has two names: \(text)")
                }
            },
        ], inputBytesMax: 4096)
}

private enum Texts {
    static let configuration = """
        # a node
        listen = 0.0.0.0:7070
        advertise = [fe80::1]:7071   # for others
        machine = m1
        zone = rack 3
        weight = 2
        log_level = warning
        reserve_mb = 100
        cache_mb=256
        dirty_mb = 128
        read_ahead_kb = 4096
        io_uring = no
        deadline_s = 60
        """

    static let token = JoinToken(
        cluster: ClusterID(rawValue: 7), fingerprint: Array(repeating: 0x5A, count: 32), secret: Array(1...16), node: NodeID(rawValue: 3),
        host: "10.0.0.1", port: 7070)

    /// The token's bytes without the checksum.
    static var tokenBytes: [UInt8] { Array((bytes(hexadecimal: token.text.dropFirst("dhtfs1:".count)) ?? []).dropLast(4)) }
}
