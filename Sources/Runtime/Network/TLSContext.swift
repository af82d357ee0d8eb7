import COpenSSL

/// Keys and settings from which TLS sessions are made: TLS 1.3 only, one trusted authority, no resumption.
///
/// Sendable without checking: an SSL_CTX is not changed after `init`, and OpenSSL counts its references atomically.
final class TLSContext: @unchecked Sendable {
    let context: OpaquePointer
    /// Set where no authority is known but by its digest.
    let pin: [UInt8]?

    /// For a member of the cluster.
    init(_ material: TLSMaterial) throws(NetworkError) {
        context = try Self.makeContext()
        pin = nil
        guard let authority = Self.certificate(material.authority) else {
            throw NetworkError(.notAuthentic, "the authority's certificate cannot be read")
        }
        defer { X509_free(authority) }
        guard let own = Self.certificate(material.certificate) else {
            throw NetworkError(.notAuthentic, "the own certificate cannot be read")
        }
        defer { X509_free(own) }
        guard let key = Self.privateKey(material.privateKey) else { throw NetworkError(.notAuthentic, "the private key cannot be read") }
        defer { EVP_PKEY_free(key) }
        guard SSL_CTX_use_certificate(context, own) == 1, SSL_CTX_use_PrivateKey(context, key) == 1,
            SSL_CTX_check_private_key(context) == 1
        else { throw NetworkError(.notAuthentic, "certificate and private key do not belong together") }
        // The authority goes along, for those that know only its digest.
        guard X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) == 1,
            COpenSSL_SSL_CTX_add1_chain_cert(context, authority) == 1
        else { throw NetworkError(.notAuthentic, "the authority's certificate cannot be used") }
    }

    /// For a machine that joins.
    init(pin: [UInt8]) throws(NetworkError) {
        guard pin.count == 32 else { throw NetworkError(.notAuthentic, "a pin is 32 bytes, not \(pin.count)") }
        context = try Self.makeContext()
        self.pin = pin
    }

    deinit { SSL_CTX_free(context) }

    private static func makeContext() throws(NetworkError) -> OpaquePointer {
        guard let context = SSL_CTX_new(TLS_method()) else { throw NetworkError(.notAuthentic, "OpenSSL has no memory for a context") }
        guard COpenSSL_SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1,
            SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") == 1,
            SSL_CTX_set_num_tickets(context, 0) == 1
        else {
            SSL_CTX_free(context)
            throw NetworkError(.notAuthentic, "OpenSSL cannot do TLS 1.3")
        }
        COpenSSL_SSL_CTX_set_session_cache_off(context)
        _ = COpenSSL_SSL_CTX_set_mode(
            context, Int(SSL_MODE_ENABLE_PARTIAL_WRITE) | Int(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) | Int(SSL_MODE_RELEASE_BUFFERS))
        // Several records with one system call.
        COpenSSL_SSL_CTX_set_read_ahead(context, 128 << 10)
        return context
    }

    private static func certificate(_ pem: [UInt8]) -> OpaquePointer? {
        withBIO(pem) { PEM_read_bio_X509($0, nil, COpenSSL_no_passphrase, nil) }
    }

    private static func privateKey(_ pem: [UInt8]) -> OpaquePointer? {
        withBIO(pem) { PEM_read_bio_PrivateKey($0, nil, COpenSSL_no_passphrase, nil) }
    }

    private static func withBIO(_ pem: [UInt8], _ body: (OpaquePointer) -> OpaquePointer?) -> OpaquePointer? {
        guard let count = Int32(exactly: pem.count) else { return nil }
        return pem.withUnsafeBytes { bytes in
            guard let bio = BIO_new_mem_buf(bytes.baseAddress, count) else { return nil }
            defer { BIO_free(bio) }
            return body(bio)
        }
    }
}
