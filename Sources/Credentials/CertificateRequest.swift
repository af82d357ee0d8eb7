import COpenSSL

/// A PKCS #10 request (RFC 2986): a public key with proof that its sender has the private one. The names in it count for nothing; the
/// authority decides what the certificate says.
package struct CertificateRequest: Sendable {
    package let pem: [UInt8]

    package init(pem: [UInt8]) { self.pem = pem }

    package init(key: PrivateKey) throws(CredentialsError) {
        pem = try key.withKey { key throws(CredentialsError) in
            let request = try OpenSSLObject(X509_REQ_new(), free: { X509_REQ_free($0) }, "cannot make a request")
            guard X509_REQ_set_pubkey(request.pointer, key) == 1, X509_REQ_sign(request.pointer, key, EVP_sha256()) > 0 else {
                throw openSSLError("cannot sign a request")
            }
            let pointer = request.pointer
            return try withMemoryBIO("cannot write a request") { PEM_write_bio_X509_REQ($0, pointer) == 1 }
        }
    }

    /// Gives `body` the public key after checking the proof.
    func withPublicKey<Result>(_ body: (OpaquePointer) throws(CredentialsError) -> Result) throws(CredentialsError) -> Result {
        let request = try withMemoryBIO(reading: pem) { bio throws(CredentialsError) in
            try OpenSSLObject(PEM_read_bio_X509_REQ(bio, nil, COpenSSL_no_passphrase, nil), free: { X509_REQ_free($0) }, "not a certificate request")
        }
        guard let key = X509_REQ_get0_pubkey(request.pointer), X509_REQ_verify(request.pointer, key) == 1 else {
            throw CredentialsError(.invalid, "a certificate request without a valid signature")
        }
        return try body(key)
    }
}
