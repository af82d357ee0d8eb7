package import Bytes

/// Why one store does not serve a block. Travels in `TransportError.detail`.
package struct BlockFailure: Error, Sendable, Equatable, CustomStringConvertible, ByteCodable {
    package enum Code: UInt8, Sendable {
        /// The store has no such block.
        case missing = 1
        /// The store's copy is bad. It has been taken out of use.
        case corrupt = 2
        /// No room: refused before anything was written.
        case noSpace = 3
        /// The content that was to be stored is not what its key says.
        case mismatch = 4
        /// The range is outside the block, or the block too large.
        case invalid = 5
        /// The disk failed.
        case failed = 6
    }

    /// In bytes of UTF-8; what is longer is cut.
    package static let causeMax = 512

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard let code = Code(rawValue: try reader.integer()) else { throw .invalid("code of a block failure") }
        self.code = code
        cause = try reader.string(max: Self.causeMax)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(code.rawValue)
        var text = cause
        while text.utf8.count > Self.causeMax { text = String(text.prefix(text.count / 2)) }
        writer.string(text)
    }

    package var description: String { cause }
}
