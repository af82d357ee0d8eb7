import COpenSSL
@testable import Credentials
import Glibc
import Model
@testable import Runtime

extension FuzzTarget {
    /// Certificates, keys and requests, as text and as the DER inside it.
    static let credentials = FuzzTarget(
        name: "credentials",
        decoders: [
            Decoder("certificate", seeds: [Keys.shared.material.certificate, Keys.shared.encrypted("CERTIFICATE")], mutations: 100) {
                bytes throws(Violation) in
                try Keys.silently { Keys.useCertificate(Array(bytes)) }
            },
            Decoder("certificate in DER", seeds: [Keys.der(Keys.shared.material.certificate)], mutations: 100) { bytes throws(Violation) in
                Keys.useCertificate(Keys.armour("CERTIFICATE", bytes))
            },
            Decoder("private key", seeds: [Keys.shared.material.privateKey, Keys.shared.encrypted("PRIVATE KEY")], mutations: 100) {
                bytes throws(Violation) in
                try Keys.silently { Keys.useKey(Array(bytes)) }
            },
            Decoder("private key in DER", seeds: [Keys.der(Keys.shared.material.privateKey)], mutations: 100) { bytes throws(Violation) in
                Keys.useKey(Keys.armour("PRIVATE KEY", bytes))
            },
            Decoder("request", seeds: [Keys.shared.request, Keys.shared.encrypted("CERTIFICATE REQUEST")], mutations: 50) { bytes throws(Violation) in
                try Keys.silently { Keys.useRequest(Array(bytes)) }
            },
            Decoder("request in DER", seeds: [Keys.der(Keys.shared.request)], mutations: 50) { bytes throws(Violation) in
                Keys.useRequest(Keys.armour("CERTIFICATE REQUEST", bytes))
            },
        ], inputBytesMax: 8192)

    /// The first bytes of a connection, before anybody is known.
    static let handshake = FuzzTarget(
        name: "handshake",
        decoders: [
            Decoder("TLS server", seeds: [Greetings.shared.client], mutations: 30) { bytes throws(Violation) in
                try Greetings.meet(Array(bytes), context: Greetings.shared.context, isServer: true)
            },
            Decoder("TLS client", seeds: [Greetings.shared.server], mutations: 30) { bytes throws(Violation) in
                try Greetings.meet(Array(bytes), context: Greetings.shared.context, isServer: false)
            },
            Decoder("Unix client", seeds: [[0xD5], [0xD5, 1, 2]], mutations: 10) { bytes throws(Violation) in
                try Greetings.meet(Array(bytes), context: nil, isServer: false)
            },
            Decoder("Unix server", seeds: [[]], mutations: 10) { bytes throws(Violation) in
                try Greetings.meet(Array(bytes), context: nil, isServer: true)
            },
        ])
}

/// An authority and a member for seeds.
struct Keys: Sendable {
    static let shared = Keys()

    let authority: CertificateAuthority
    let material: TLSMaterial
    let request: [UInt8]

    private init() {
        do throws(CredentialsError) {
            let cluster = ClusterID(rawValue: 0xC1)
            authority = try CertificateAuthority.create(cluster: cluster)
            let key = try PrivateKey.generate()
            let made = try CertificateRequest(key: key)
            let certificate = try authority.issue(.node(NodeID(rawValue: 1)), for: made)
            request = made.pem
            material = TLSMaterial(authority: authority.certificate.pem, certificate: certificate.pem, privateKey: key.pem)
        } catch { preconditionFailure("OpenSSL makes no keys: \(error)") }
    }

    /// A PEM block of the kind that says it is encrypted with a passphrase (RFC 1421 §4.6.1).
    func encrypted(_ label: String) -> [UInt8] {
        Array("-----BEGIN \(label)-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\nAAAA\n-----END \(label)-----\n".utf8)
    }

    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// PEM around any bytes (RFC 7468).
    static func armour(_ label: String, _ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var text = Array("-----BEGIN \(label)-----\n".utf8)
        for (group, start) in stride(from: 0, to: bytes.count, by: 3).enumerated() {
            let taken = bytes[start..<min(start + 3, bytes.count)]
            let word = taken.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - taken.count))
            for place in 0..<4 { text.append(place <= taken.count ? digits[Int(word >> UInt32(18 - 6 * place)) & 63] : 0x3D) }
            if group % 16 == 15 { text.append(0x0A) }
        }
        return text + Array("\n-----END \(label)-----\n".utf8)
    }

    /// What `armour` was given.
    static func der(_ pem: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var word: UInt32 = 0
        var bits = 0
        for line in pem.split(separator: 0x0A) where line.first != 0x2D {
            for digit in line {
                guard let value = digits.firstIndex(of: digit) else { continue }
                word = word << 6 | UInt32(value)
                bits += 6
                if bits >= 8 {
                    bits -= 8
                    result.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
                }
            }
        }
        return result
    }

    /// Standard input with a line in it that nobody may read, and on which nobody waits.
    private static let untouched: Void = {
        var descriptors: [Int32] = [0, 0]
        let line: [UInt8] = [0x78, 0x0A]
        guard pipe(&descriptors) == 0, fcntl(descriptors[0], F_SETFL, O_NONBLOCK) == 0, Glibc.write(descriptors[1], line, line.count) == line.count, dup2(descriptors[0], STDIN_FILENO) >= 0 else {
            preconditionFailure("a pipe")
        }
    }()

    /// - Throws: if a passphrase was asked for meanwhile.
    static func silently(_ body: () -> Void) throws(Violation) {
        untouched
        body()
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        try require(poll(&input, 1, 0) == 1, "a passphrase was asked for on the terminal")
    }

    static func useCertificate(_ pem: [UInt8]) {
        let certificate = Certificate(pem: pem)
        _ = try? certificate.fingerprint()
        _ = try? certificate.withCertificate { pointer in
            var text = [CChar](repeating: 0, count: 256)
            guard COpenSSL_certificate_uri(pointer, &text, text.count) == 1 else { return }
            if let uri = text.withUnsafeBufferPointer({ $0.baseAddress.flatMap { String(validatingCString: $0) } }) { _ = CertificateIdentity(uri: uri) }
        }
        let known = shared.material
        _ = try? TLSContext(TLSMaterial(authority: pem, certificate: known.certificate, privateKey: known.privateKey))
        _ = try? TLSContext(TLSMaterial(authority: known.authority, certificate: pem, privateKey: known.privateKey))
        ERR_clear_error()
    }

    static func useKey(_ pem: [UInt8]) {
        _ = try? PrivateKey(pem: pem).withKey { _ in }
        let known = shared.material
        _ = try? TLSContext(TLSMaterial(authority: known.authority, certificate: known.certificate, privateKey: pem))
        ERR_clear_error()
    }

    static func useRequest(_ pem: [UInt8]) {
        _ = try? shared.authority.issue(.node(NodeID(rawValue: 2)), for: CertificateRequest(pem: pem))
        ERR_clear_error()
    }
}

/// Handshakes over a pair of sockets.
struct Greetings: Sendable {
    static let shared = Greetings()

    let context: TLSContext
    /// What a real client and a real server say first.
    let client: [UInt8]
    let server: [UInt8]

    private init() {
        guard let made = try? TLSContext(Keys.shared.material) else { preconditionFailure("the material is sound") }
        context = made
        (client, server) = onLoop { Self.record(made) }
    }

    /// Lets a client and a server shake hands and listens.
    @LoopActor
    private static func record(_ context: TLSContext) -> ([UInt8], [UInt8]) {
        guard let near = pair(), let far = pair(), let client = TLSSession(context, descriptor: near.0, side: .client),
            let server = TLSSession(context, descriptor: far.0, side: .server(certificateRequired: true))
        else { preconditionFailure("a pair of sockets") }
        var said: ([UInt8], [UInt8]) = ([], [])
        for _ in 0..<6 {
            _ = client.handshake()
            let request = drain(near.1)
            said.0 += request
            _ = request.withUnsafeBytes { Glibc.write(far.1, $0.baseAddress, $0.count) }
            _ = server.handshake()
            let reply = drain(far.1)
            said.1 += reply
            _ = reply.withUnsafeBytes { Glibc.write(near.1, $0.baseAddress, $0.count) }
        }
        for descriptor in [near.0, near.1, far.0, far.1] { close(descriptor) }
        return said
    }

    private static func pair() -> (Int32, Int32)? {
        var descriptors: [Int32] = [0, 0]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &descriptors) == 0 else { return nil }
        return (descriptors[0], descriptors[1])
    }

    private static func drain(_ descriptor: Int32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }

    /// Starts a handshake with somebody who says `bytes` and nothing more. It ends, well or not.
    static func meet(_ bytes: [UInt8], context: TLSContext?, isServer: Bool) throws(Violation) {
        let isDone = onLoop { () -> Bool in
            guard let sockets = pair() else { return false }
            _ = bytes.withUnsafeBytes { send(sockets.1, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            shutdown(sockets.1, Int32(SHUT_WR))
            let result: Result<any ByteStream, NetworkError> = await withUnsafeContinuation { continuation in
                Handshake.start(
                    sockets.0, context: context, isServer: isServer, label: "fuzz", demands: Handshake.Demands(cluster: ClusterID(rawValue: 0xC1)),
                    timeout: 3600 * Nanoseconds.second
                ) { _, result in continuation.resume(returning: result) }
            }
            if case .success(let stream) = result {
                var chunk = [UInt8](repeating: 0, count: 256)
                for _ in 0..<4 { _ = chunk.withUnsafeMutableBytes { stream.read(into: $0) } }
                stream.close()
            }
            close(sockets.1)
            return true
        }
        try require(isDone, "no sockets are left: something does not close them")
    }
}
