import COpenSSL

/// An EC P-256 key pair (FIPS 186-4), as PEM (PKCS #8, RFC 5208). Never log it.
package struct PrivateKey: Sendable {
    /// Write it only to files of mode 0600.
    package let pem: [UInt8]

    /// - Parameter pem: as read from a file. Checked when it is used.
    package init(pem: [UInt8]) { self.pem = pem }

    package static func generate() throws(CredentialsError) -> PrivateKey {
        let key = try OpenSSLObject(COpenSSL_EVP_EC_gen("P-256"), free: { EVP_PKEY_free($0) }, "cannot generate a key")
        return PrivateKey(
            pem: try withMemoryBIO("cannot write a key") { PEM_write_bio_PrivateKey($0, key.pointer, nil, nil, 0, nil, nil) == 1 })
    }

    /// Gives `body` the EVP_PKEY.
    func withKey<Result>(_ body: (OpaquePointer) throws(CredentialsError) -> Result) throws(CredentialsError) -> Result {
        let key = try withMemoryBIO(reading: pem) { bio throws(CredentialsError) in
            try OpenSSLObject(PEM_read_bio_PrivateKey(bio, nil, COpenSSL_no_passphrase, nil), free: { EVP_PKEY_free($0) }, "not a private key in PEM form")
        }
        return try body(key.pointer)
    }
}
