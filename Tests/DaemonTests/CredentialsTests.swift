import Credentials
import Model
import Testing

@Suite struct CredentialsTests {
    private static let token = JoinToken(
        cluster: ClusterID(rawValue: 7), fingerprint: (0..<32).map { UInt8($0) }, secret: (0..<16).map { UInt8($0) }, node: NodeID(rawValue: 9), host: "node.example", port: 7070)

    @Test func tokenRoundTrip() throws {
        #expect(try JoinToken(text: Self.token.text) == Self.token)
    }

    /// Every single wrong character is noticed.
    @Test func tokenFindsTypingErrors() {
        let text = Array(Self.token.text.utf8)
        for index in text.indices {
            var changed = text
            changed[index] = changed[index] == 0x30 ? 0x31 : 0x30
            if changed == text { continue }
            #expect(throws: CredentialsError.self) { try JoinToken(text: String(decoding: changed, as: UTF8.self)) }
        }
        #expect(throws: CredentialsError.self) { try JoinToken(text: String(Self.token.text.dropLast(2))) }
        #expect(throws: CredentialsError.self) { try JoinToken(text: "") }
    }

    @Test func authorityIssuesToWhoeverProvesTheKey() throws {
        let authority = try CertificateAuthority.create(cluster: ClusterID(rawValue: 1))
        let key = try PrivateKey.generate()
        let request = try CertificateRequest(key: key)
        let certificate = try authority.issue(.node(NodeID(rawValue: 2)), for: request)
        #expect(try certificate.fingerprint().count == 32)
        #expect(try certificate.fingerprint() != authority.certificate.fingerprint())

        var broken = request.pem
        broken[broken.count / 2] ^= 1
        #expect(throws: CredentialsError.self) { try authority.issue(.node(NodeID(rawValue: 2)), for: CertificateRequest(pem: broken)) }
        #expect(throws: CredentialsError.self) { try authority.issue(.node(NodeID(rawValue: 2)), for: CertificateRequest(pem: [])) }
    }

    @Test func identityIsTheURI() {
        #expect(Subject.node(NodeID(rawValue: 255)).uri(cluster: ClusterID(rawValue: 16)) == "dhtfs://cluster/0000000000000010/node/00000000000000ff")
        #expect(Subject.mount("m").uri(cluster: ClusterID(rawValue: 16)) == "dhtfs://cluster/0000000000000010/mount/m")
    }
}
