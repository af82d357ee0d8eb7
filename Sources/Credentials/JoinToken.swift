import Bytes
import COpenSSL
package import Model

/// What a machine needs to join a cluster once: where, whom to trust, and a secret that is good for one join.
///
/// Text form: `dhtfs1:` and the hexadecimal bytes of cluster id, fingerprint of the authority's certificate (32 bytes), secret (16 bytes), node and
/// address, then a CRC-32C that finds typing errors.
package struct JoinToken: Equatable, Sendable {
    package static let secretBytes = 16
    private static let prefix = "dhtfs1:"

    package var cluster: ClusterID
    package var fingerprint: [UInt8]
    /// The service keeps only its hash.
    package var secret: [UInt8]
    /// The node to ask, which holds the authority's key.
    package var node: NodeID
    package var host: String
    package var port: UInt16

    package init(cluster: ClusterID, fingerprint: [UInt8], secret: [UInt8], node: NodeID, host: String, port: UInt16) {
        self.cluster = cluster
        self.fingerprint = fingerprint
        self.secret = secret
        self.node = node
        self.host = host
        self.port = port
    }

    /// A new secret.
    package static func drawSecret() throws(CredentialsError) -> [UInt8] {
        var secret = [UInt8](repeating: 0, count: secretBytes)
        guard RAND_bytes(&secret, Int32(secret.count)) == 1 else { throw openSSLError("no randomness") }
        return secret
    }

    package var text: String {
        var writer = ByteWriter()
        cluster.encode(to: &writer)
        writer.raw(fingerprint)
        writer.raw(secret)
        node.encode(to: &writer)
        writer.integer(port)
        writer.string(host)
        writer.integer(CRC32C.checksum(writer.bytes))
        return Self.prefix + hexadecimal(writer.bytes)
    }

    /// - Throws: `.invalid` for anything that `text` never printed.
    package init(text: String) throws(CredentialsError) {
        let invalid = CredentialsError(.invalid, "this is no dhtfs token: copy it whole, as `dhtfs token create` printed it")
        guard text.hasPrefix(Self.prefix), let bytes = bytes(hexadecimal: text.dropFirst(Self.prefix.count)), bytes.count > 4 else {
            throw invalid
        }
        let body = Array(bytes.dropLast(4))
        let token: JoinToken? = bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            do throws(DecodeError) {
                let cluster = try ClusterID(from: &reader)
                let fingerprint = Array(try reader.take(32))
                let secret = Array(try reader.take(Self.secretBytes))
                let node = try NodeID(from: &reader)
                let port = try reader.integer(UInt16.self)
                let host = try reader.string(max: 255)
                guard try reader.integer(UInt32.self) == CRC32C.checksum(body) else { return nil }
                try reader.finish()
                return JoinToken(cluster: cluster, fingerprint: fingerprint, secret: secret, node: node, host: host, port: port)
            } catch { return nil }
        }
        guard let token else { throw invalid }
        self = token
    }
}

/// Two lower-case digits a byte.
package func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// The bytes that `hexadecimal` printed; nil for anything else.
package func bytes(hexadecimal text: Substring) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
        guard let high = nibble(digits[index]), let low = nibble(digits[index + 1]) else { return nil }
        result.append(high << 4 | low)
    }
    return result
}

private func nibble(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x61...0x66: digit - 0x61 + 10
    default: nil
    }
}
