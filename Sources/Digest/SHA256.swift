import COpenSSL
package import Bytes

/// SHA-256 by OpenSSL's EVP interface, which picks the processor's SHA instructions. Any thread.
package enum SHA256 {
    /// The key of a block with this content.
    package static func key(of content: UnsafeRawBufferPointer) -> BlockKey {
        var hash = SHA256Stream()
        hash.update(content)
        return hash.finish()
    }

    /// The key of a block with this content.
    package static func key(of content: Slice) -> BlockKey { content.withBytes { key(of: $0) } }

    /// The key of a block with this content.
    package static func key(of content: [UInt8]) -> BlockKey { content.withUnsafeBytes { key(of: $0) } }
}

/// SHA-256 over content that arrives in parts. One thread at a time.
package struct SHA256Stream: ~Copyable {
    // Fetching an algorithm by name takes a lock and a search; once is enough for the process. OpenSSL documents EVP_MD as
    // safe to share between threads once fetched.
    private nonisolated(unsafe) static let algorithm = EVP_MD_fetch(nil, "SHA256", nil)
    private let context: OpaquePointer

    package init() {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, Self.algorithm, nil) == 1 else {
            preconditionFailure("OpenSSL has no SHA-256 or no memory")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        let updated = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
        precondition(updated == 1, "SHA-256 of memory cannot fail")
    }

    package consuming func finish() -> BlockKey {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digest in
            let finished = EVP_DigestFinal_ex(context, digest.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
            guard finished == 1, let key = BlockKey(digest: UnsafeRawBufferPointer(digest)) else {
                preconditionFailure("SHA-256 of memory cannot fail")
            }
            return key
        }
    }
}
