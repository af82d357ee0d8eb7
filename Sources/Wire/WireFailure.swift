package import Bytes

/// Why a request was not answered, or a connection ends.
package struct WireFailure: Equatable, Sendable, ByteCodable {
    /// Longest cause in bytes of UTF-8.
    package static let causeMax = 4 << 10
    /// Longest detail in bytes.
    package static let detailMax = 64 << 10
    static let encodedMax = 2 + 4 + causeMax + 4 + detailMax

    /// A `TransportError.Code`.
    package var code: UInt16
    /// One line for a person.
    package var cause: String
    /// The handler's own error, encoded by the module that owns the request.
    package var detail: [UInt8]

    /// Cuts what is too long.
    package init(code: UInt16, cause: String, detail: [UInt8] = []) {
        self.code = code
        self.cause = cause.utf8.count <= Self.causeMax ? cause : String(cause.unicodeScalars.prefix(Self.causeMax / 4))
        self.detail = detail.count <= Self.detailMax ? detail : []
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        code = try reader.integer()
        cause = try reader.string(max: Self.causeMax)
        detail = try reader.bytes(max: Self.detailMax)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(code)
        writer.string(cause)
        writer.bytes(detail)
    }
}
