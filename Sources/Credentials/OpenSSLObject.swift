import COpenSSL

/// Owns one OpenSSL object and frees it. One thread at a time.
struct OpenSSLObject: ~Copyable {
    let pointer: OpaquePointer
    private let free: (OpaquePointer) -> Void

    /// - Throws: `.failed` with OpenSSL's own reason if `pointer` is nil.
    init(_ pointer: OpaquePointer?, free: @escaping (OpaquePointer) -> Void, _ what: String) throws(CredentialsError) {
        guard let pointer else { throw openSSLError(what) }
        self.pointer = pointer
        self.free = free
    }

    deinit { free(pointer) }
}

/// The newest error on OpenSSL's queue of this thread, after clearing it.
func openSSLError(_ what: String) -> CredentialsError {
    var text = [CChar](repeating: 0, count: 256)
    let code = ERR_peek_last_error()
    ERR_error_string_n(code, &text, text.count)
    ERR_clear_error()
    let reason = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return CredentialsError(.failed, code == 0 ? what : "\(what): \(reason)")
}

/// Runs `write` on a memory BIO and returns what it wrote.
func withMemoryBIO(_ what: String, _ write: (OpaquePointer) -> Bool) throws(CredentialsError) -> [UInt8] {
    let bio = try OpenSSLObject(BIO_new(BIO_s_mem()), free: { BIO_free($0) }, what)
    guard write(bio.pointer) else { throw openSSLError(what) }
    var bytes: UnsafeMutablePointer<CChar>?
    let count = COpenSSL_BIO_get_mem_data(bio.pointer, &bytes)
    return Array(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
}

/// Gives `read` a memory BIO that holds `text`.
func withMemoryBIO<Result: ~Copyable>(reading text: [UInt8], _ read: (OpaquePointer) throws(CredentialsError) -> Result) throws(CredentialsError) -> Result {
    let pointer = text.withUnsafeBytes { BIO_new_mem_buf($0.baseAddress, Int32($0.count)) }
    // The BIO points into a copy that OpenSSL does not make; so the array is kept alive across the call by a second borrow.
    let bio = try OpenSSLObject(pointer, free: { BIO_free($0) }, "memory")
    defer { withExtendedLifetime(text) {} }
    return try read(bio.pointer)
}
