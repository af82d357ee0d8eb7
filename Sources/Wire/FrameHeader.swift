package import Bytes

/// What a frame is. The numbers are on the wire.
package enum FrameType: UInt8, Sendable {
    /// The first frame in each direction; body is a `Hello`.
    case hello = 1
    case request = 2
    case reply = 3
    /// The answer to a request that failed; body is a `WireFailure`.
    case error = 4
    /// The sender will send no more requests and serves no more; body is a `WireFailure` that says why.
    case goodbye = 5
}

/// The fixed start of every frame; the body and then the payload follow.
///
/// Layout, little-endian: magic and version (1 byte), type (1), kind (2), request id (8), body length (4), payload length (4).
package struct FrameHeader: Equatable, Sendable {
    /// Bytes of an encoded header.
    package static let size = 20
    /// Largest body of a frame.
    package static let bodyMax = 8 << 20
    /// Largest payload of a frame: the largest block there may be.
    package static let payloadMax = 4 << 20
    /// Largest body of a `hello`.
    package static let helloBodyMax = 1 << 10
    /// Largest body of a frame from a peer without a certificate.
    package static let anonymousBodyMax = 64 << 10
    /// Protocol 1. What follows the magic byte of another one is not ours to guess.
    package static let magic: UInt8 = 0xD1

    package var type: FrameType
    /// A `RequestKind` as a number, known here or not; 0 unless the frame is a request.
    package var kind: UInt16
    /// Chosen by who asks, repeated by who answers; 0 in hello and goodbye.
    package var request: UInt64
    /// In bytes.
    package var bodyLength: Int
    /// In bytes.
    package var payloadLength: Int

    package init(type: FrameType, kind: UInt16 = 0, request: UInt64 = 0, bodyLength: Int, payloadLength: Int = 0) {
        self.type = type
        self.kind = kind
        self.request = request
        self.bodyLength = bodyLength
        self.payloadLength = payloadLength
    }

    /// - Throws: for anything that a correct peer of this protocol version would not send; the connection is to be closed then.
    package init(from reader: inout ByteReader) throws(DecodeError) {
        guard try reader.integer(UInt8.self) == Self.magic else { throw .invalid("magic byte") }
        guard let type = FrameType(rawValue: try reader.integer()) else { throw .invalid("frame type") }
        self.type = type
        kind = try reader.integer()
        request = try reader.integer()
        bodyLength = Int(try reader.integer(UInt32.self))
        payloadLength = Int(try reader.integer(UInt32.self))
        guard bodyLength <= Self.bodyMax else { throw .tooLong(count: bodyLength, max: Self.bodyMax) }
        guard payloadLength <= Self.payloadMax else { throw .tooLong(count: payloadLength, max: Self.payloadMax) }
        switch type {
        case .hello:
            guard kind == 0, request == 0, payloadLength == 0 else { throw .invalid("hello frame") }
            guard bodyLength <= Self.helloBodyMax else { throw .tooLong(count: bodyLength, max: Self.helloBodyMax) }
        case .goodbye:
            guard kind == 0, request == 0, payloadLength == 0 else { throw .invalid("goodbye frame") }
            guard bodyLength <= WireFailure.encodedMax else { throw .tooLong(count: bodyLength, max: WireFailure.encodedMax) }
        case .request:
            guard kind != 0, request != 0 else { throw .invalid("request frame") }
        case .reply:
            guard kind == 0, request != 0 else { throw .invalid("reply frame") }
        case .error:
            guard kind == 0, request != 0, payloadLength == 0 else { throw .invalid("error frame") }
            guard bodyLength <= WireFailure.encodedMax else { throw .tooLong(count: bodyLength, max: WireFailure.encodedMax) }
        }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(Self.magic)
        writer.integer(type.rawValue)
        writer.integer(kind)
        writer.integer(request)
        writer.integer(UInt32(clamping: bodyLength))
        writer.integer(UInt32(clamping: payloadLength))
    }
}
