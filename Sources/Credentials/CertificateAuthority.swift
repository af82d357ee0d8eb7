import COpenSSL
package import Model

/// A cluster's own certificate authority. Its key stays on the node where `dhtfs init` made it.
package struct CertificateAuthority: Sendable {
    package let cluster: ClusterID
    package let certificate: Certificate
    package let key: PrivateKey

    /// Validity of what the authority signs, in seconds: ten years. There is no renewal yet, and a cluster that stops on a date
    /// nobody remembers is worse than a long-lived certificate.
    private static let validity = 10 * 365 * 86_400

    package init(cluster: ClusterID, certificate: Certificate, key: PrivateKey) {
        self.cluster = cluster
        self.certificate = certificate
        self.key = key
    }

    /// Makes a new authority with a self-signed certificate.
    package static func create(cluster: ClusterID) throws(CredentialsError) -> CertificateAuthority {
        let key = try PrivateKey.generate()
        let certificate = try key.withKey { key throws(CredentialsError) in
            try build(
                commonName: "dhtfs cluster \(cluster)", publicKey: key, issuer: nil, issuerKey: key, validity: validity,
                extensions: [
                    (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"), (NID_key_usage, "critical,keyCertSign,cRLSign"),
                    (NID_subject_key_identifier, "hash"),
                ])
        }
        return CertificateAuthority(cluster: cluster, certificate: certificate, key: key)
    }

    /// Signs a certificate for the key in `request`, to be used at both ends of a connection.
    /// - Parameter validity: seconds from now; may be negative for tests of expiry.
    package func issue(_ subject: Subject, for request: CertificateRequest, validity: Int? = nil) throws(CredentialsError) -> Certificate {
        try request.withPublicKey { publicKey throws(CredentialsError) in
            try certificate.withCertificate { issuer throws(CredentialsError) in
                try key.withKey { issuerKey throws(CredentialsError) in
                    try Self.build(
                        commonName: subject.commonName, publicKey: publicKey, issuer: issuer, issuerKey: issuerKey,
                        validity: validity ?? Self.validity,
                        extensions: [
                            (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
                            (NID_ext_key_usage, "serverAuth,clientAuth"), (NID_subject_alt_name, "URI:\(subject.uri(cluster: cluster))"),
                        ])
                }
            }
        }
    }

    private static func build(
        commonName: String, publicKey: OpaquePointer, issuer: OpaquePointer?, issuerKey: OpaquePointer, validity: Int,
        extensions: [(Int32, String)]
    ) throws(CredentialsError) -> Certificate {
        let what = "cannot make a certificate"
        let certificate = try OpenSSLObject(X509_new(), free: { X509_free($0) }, what)
        let x509 = certificate.pointer
        var serial: UInt64 = 0
        let drawn = withUnsafeMutableBytes(of: &serial) { RAND_bytes($0.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32($0.count)) }
        guard drawn == 1, X509_set_version(x509, 2) == 1, ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), serial >> 1) == 1,
            // Five minutes back, for clocks that differ.
            X509_gmtime_adj(X509_getm_notBefore(x509), validity < 0 ? validity - 300 : -300) != nil,
            X509_gmtime_adj(X509_getm_notAfter(x509), validity) != nil, X509_set_pubkey(x509, publicKey) == 1
        else { throw openSSLError(what) }
        let name = X509_get_subject_name(x509)
        guard X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, commonName, -1, -1, 0) == 1,
            X509_set_issuer_name(x509, issuer.map { X509_get_subject_name($0) } ?? name) == 1
        else { throw openSSLError(what) }
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, issuer ?? x509, x509, nil, nil, 0)
        for (identifier, value) in extensions {
            guard let made = X509V3_EXT_conf_nid(nil, &context, identifier, value) else { throw openSSLError(what) }
            defer { X509_EXTENSION_free(made) }
            guard X509_add_ext(x509, made, -1) == 1 else { throw openSSLError(what) }
        }
        guard X509_sign(x509, issuerKey, EVP_sha256()) > 0 else { throw openSSLError(what) }
        return Certificate(pem: try withMemoryBIO(what) { PEM_write_bio_X509($0, x509) == 1 })
    }
}
