import COpenSSL

/// An X.509 certificate (RFC 5280) as PEM.
package struct Certificate: Sendable, Equatable {
    package let pem: [UInt8]

    package init(pem: [UInt8]) { self.pem = pem }

    func withCertificate<Result>(_ body: (OpaquePointer) throws(CredentialsError) -> Result) throws(CredentialsError) -> Result {
        let certificate = try withMemoryBIO(reading: pem) { bio throws(CredentialsError) in
            try OpenSSLObject(PEM_read_bio_X509(bio, nil, COpenSSL_no_passphrase, nil), free: { X509_free($0) }, "not a certificate in PEM form")
        }
        return try body(certificate.pointer)
    }

    /// SHA-256 of the certificate's DER form: what a join token pins.
    package func fingerprint() throws(CredentialsError) -> [UInt8] {
        try withCertificate { certificate throws(CredentialsError) in
            var digest = [UInt8](repeating: 0, count: 32)
            var length: UInt32 = 0
            guard X509_digest(certificate, EVP_sha256(), &digest, &length) == 1, length == 32 else {
                throw openSSLError("cannot hash a certificate")
            }
            return digest
        }
    }
}
