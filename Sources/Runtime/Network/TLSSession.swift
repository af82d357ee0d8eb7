import COpenSSL
import Glibc

/// TLS on one non-blocking socket. Bytes go between the caller's memory and the socket without a stop.
@LoopActor
final class TLSSession {
    enum Side {
        case client
        /// - Parameter certificateRequired: otherwise a client without one is let in as anonymous.
        case server(certificateRequired: Bool)
    }

    enum Progress {
        case done
        case needsReading
        case needsWriting
        /// One line for a person.
        case failed(String)
    }

    private let ssl: OpaquePointer
    private let context: TLSContext
    private let isServer: Bool
    /// Small parts are put together here into records; what is in it counts as taken.
    private var staging: UnsafeMutableRawBufferPointer?
    private var staged = 0
    private var stagedSent = 0
    /// Length of the write that OpenSSL wants repeated (SSL_write(3)); 0 for none.
    private var retryLength = 0
    private var broken = false
    /// Why the session broke, in words.
    private(set) var failure: String?
    /// Whether the last read found the socket empty.
    private(set) var isDrained = true

    init?(_ context: TLSContext, descriptor: Int32, side: Side) {
        guard let ssl = SSL_new(context.context) else { return nil }
        self.ssl = ssl
        self.context = context
        switch side {
        case .client:
            isServer = false
            // With a pin there is no store to verify against; `verify` does it before anybody gets the session.
            SSL_set_verify(ssl, context.pin == nil ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
            SSL_set_connect_state(ssl)
        case .server(let certificateRequired):
            isServer = true
            SSL_set_verify(ssl, SSL_VERIFY_PEER | (certificateRequired ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nil)
            SSL_set_accept_state(ssl)
        }
        guard SSL_set_fd(ssl, descriptor) == 1 else {
            SSL_free(ssl)
            return nil
        }
    }

    isolated deinit {
        SSL_free(ssl)
        staging?.deallocate()
    }

    func handshake() -> Progress {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 { return .done }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .needsReading
        case SSL_ERROR_WANT_WRITE: return .needsWriting
        case SSL_ERROR_SYSCALL: return .failed("the connection ended during the handshake")
        default: return .failed(reason())
        }
    }

    /// The peer's proven identity after the handshake; nil for a client without a certificate.
    func peerIdentity() throws(NetworkError) -> CertificateIdentity? {
        guard let certificate = SSL_get1_peer_certificate(ssl) else {
            guard isServer else { throw NetworkError(.notAuthentic, "the server has no certificate") }
            return nil
        }
        defer { X509_free(certificate) }
        let verified =
            if let pin = context.pin {
                pin.withUnsafeBufferPointer { $0.baseAddress.map { COpenSSL_verify_pinned(ssl, $0) } ?? Int(X509_V_ERR_UNSPECIFIED) }
            } else {
                SSL_get_verify_result(ssl)
            }
        guard verified == Int(X509_V_OK) else { throw NetworkError(.notAuthentic, Self.describe(verification: verified)) }
        var text = [CChar](repeating: 0, count: 256)
        guard COpenSSL_certificate_uri(certificate, &text, text.count) == 1,
            let uri = text.withUnsafeBufferPointer({ $0.baseAddress.flatMap { String(validatingCString: $0) } }),
            let identity = CertificateIdentity(uri: uri)
        else { throw NetworkError(.notAuthentic, "the certificate names no member of a cluster") }
        return identity
    }

    /// Reads as much as is there and fits.
    func read(into target: UnsafeMutableRawBufferPointer) -> StreamReadOutcome {
        guard let base = target.baseAddress, !broken else { return .ended }
        var total = 0
        while total < target.count {
            ERR_clear_error()
            var count = 0
            if SSL_read_ex(ssl, base + total, target.count - total, &count) == 1 {
                total += count
                continue
            }
            switch SSL_get_error(ssl, 0) {
            case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE:
                isDrained = true
                return total > 0 ? .bytes(total) : .wouldBlock
            case SSL_ERROR_ZERO_RETURN:
                // Reported by the next read, if this one has something.
                isDrained = total == 0
                return total > 0 ? .bytes(total) : .ended
            default:
                broken = true
                failure = reason()
                isDrained = total == 0
                return total > 0 ? .bytes(total) : .ended
            }
        }
        isDrained = false
        return .bytes(total)
    }

    /// Writes records until all is taken or the socket is full; nil if the session is broken.
    func write(_ parts: [UnsafeRawBufferPointer]) -> Int? {
        if broken { return nil }
        var taken = 0
        // Bytes that were staged earlier go first.
        if staged > 0 {
            guard let flushed = flushStaging() else { return nil }
            if !flushed { return 0 }
        }
        for part in parts {
            guard let base = part.baseAddress else { continue }
            var offset = 0
            while offset < part.count {
                let rest = part.count - offset
                if staged == 0 && rest >= Self.recordBytes {
                    guard let sent = send(base + offset, Self.recordBytes) else { return nil }
                    if sent == 0 { return taken }
                    offset += sent
                    taken += sent
                } else {
                    // A write to be repeated must not be overtaken by a staged one.
                    if retryLength > 0 && staged == 0 { return breakOff() }
                    let count = min(rest, Self.recordBytes - staged)
                    stage(base + offset, count)
                    offset += count
                    taken += count
                    if staged == Self.recordBytes {
                        guard let flushed = flushStaging() else { return nil }
                        if !flushed { return taken }
                    }
                }
            }
        }
        if staged > 0, flushStaging() == nil { return nil }
        return taken
    }

    /// Whether taken bytes still wait for the socket.
    var hasUnsent: Bool { staged > 0 }

    /// Says goodbye, if the socket takes it.
    func close() {
        guard !broken else { return }
        broken = true
        ERR_clear_error()
        SSL_shutdown(ssl)
    }

    private func stage(_ source: UnsafeRawPointer, _ count: Int) {
        let target = staging ?? .allocate(byteCount: Self.recordBytes, alignment: 64)
        staging = target
        if let base = target.baseAddress { memcpy(base + staged, source, count) }
        staged += count
    }

    /// Whether everything staged went out; nil if the session is broken.
    private func flushStaging() -> Bool? {
        guard let base = staging?.baseAddress else { return true }
        while stagedSent < staged {
            guard let sent = send(base + stagedSent, staged - stagedSent) else { return nil }
            if sent == 0 { return false }
            stagedSent += sent
        }
        staged = 0
        stagedSent = 0
        return true
    }

    /// 0 if the socket is full; nil if the session is broken.
    private func send(_ source: UnsafeRawPointer, _ count: Int) -> Int? {
        guard count >= retryLength else { return breakOff() }
        ERR_clear_error()
        var written = 0
        if SSL_write_ex(ssl, source, count, &written) == 1 {
            retryLength = 0
            return written
        }
        switch SSL_get_error(ssl, 0) {
        case SSL_ERROR_WANT_WRITE, SSL_ERROR_WANT_READ:
            retryLength = count
            return 0
        default:
            return breakOff()
        }
    }

    private func breakOff() -> Int? {
        broken = true
        return nil
    }

    /// What went wrong in the handshake, in words.
    private func reason() -> String {
        let verified = SSL_get_verify_result(ssl)
        if verified != Int(X509_V_OK) { return Self.describe(verification: verified) }
        let error = ERR_peek_last_error()
        let text = ERR_reason_error_string(error).map { String(cString: $0) } ?? "TLS error \(error)"
        // Reasons from here on are alerts that the other side sent (SSL_AD_REASON_OFFSET, ssl.h).
        return COpenSSL_ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET ? "refused by the other side: \(text)" : text
    }

    private static func describe(verification result: Int) -> String {
        switch Int32(truncatingIfNeeded: result) {
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
            "certificate of an authority that is not this cluster's"
        case X509_V_ERR_CERT_SIGNATURE_FAILURE:
            "certificate not signed by this cluster's authority"
        default:
            X509_verify_cert_error_string(result).map { String(cString: $0) } ?? "certificate refused (\(result))"
        }
    }

    /// What one TLS record holds (RFC 8446 §5.1).
    private static let recordBytes = 16 << 10
}
