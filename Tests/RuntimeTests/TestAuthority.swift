import Glibc
import Model
import Runtime
import TestSupport

/// A certificate authority for one test, made with the openssl program.
final class TestAuthority: Sendable {
    let cluster: ClusterID
    private let directory: TemporaryDirectory

    init(cluster: ClusterID = ClusterID(rawValue: 0xC1)) throws {
        self.cluster = cluster
        directory = try TemporaryDirectory()
        try run(
            "req", "-x509", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", directory.file("ca.key"),
            "-subj", "/CN=dhtfs test", "-days", "10", "-out", directory.file("ca.pem"), "-addext", "keyUsage=critical,keyCertSign")
    }

    /// - Parameter days: 0 makes a certificate that has expired.
    func material(uri: String, days: Int = 10) throws -> TLSMaterial {
        let key = directory.file("own.key")
        let request = directory.file("own.csr")
        let certificate = directory.file("own.pem")
        let extensions = directory.file("extensions")
        try write("subjectAltName=URI:\(uri)\nextendedKeyUsage=serverAuth,clientAuth\n", to: extensions)
        try run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", "/CN=x", "-out", request)
        try run(
            "x509", "-req", "-in", request, "-CA", directory.file("ca.pem"), "-CAkey", directory.file("ca.key"), "-CAcreateserial",
            "-days", String(days), "-extfile", extensions, "-out", certificate)
        return TLSMaterial(authority: try read(directory.file("ca.pem")), certificate: try read(certificate), privateKey: try read(key))
    }

    func node(_ id: UInt64, days: Int = 10) throws -> TLSMaterial {
        try material(uri: CertificateIdentity(cluster: cluster, subject: .node(NodeID(rawValue: id))).uri, days: days)
    }

    /// SHA-256 of the authority's certificate in DER form.
    func pin() throws -> [UInt8] {
        let der = directory.file("ca.der")
        let digest = directory.file("ca.digest")
        try run("x509", "-in", directory.file("ca.pem"), "-outform", "DER", "-out", der)
        try run("dgst", "-sha256", "-binary", "-out", digest, der)
        return try read(digest)
    }
}

struct ToolError: Error { var cause: String }

private func run(_ arguments: String...) throws {
    var process: pid_t = 0
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
    let words = ["openssl"] + arguments
    var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    guard posix_spawnp(&process, "openssl", &actions, nil, &pointers, environ) == 0 else { throw ToolError(cause: "openssl is not installed") }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    guard status == 0 else { throw ToolError(cause: "openssl \(arguments.joined(separator: " "))") }
}

func read(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw ToolError(cause: path) }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    return Array(bytes.prefix(max(0, count)))
}

func write(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw ToolError(cause: path) }
    defer { close(descriptor) }
    guard Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count else { throw ToolError(cause: path) }
}
