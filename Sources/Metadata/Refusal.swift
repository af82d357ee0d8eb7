import Bytes
import Model
import Transport

/// Why a server does not carry out a request, as it stands in `TransportError.detail`.
enum Refusal: Equatable, Sendable, ByteCodable {
    /// Another server leads; `leader` is who may know better.
    case notLeader(NodeID?)
    /// A new leader: say first what is held.
    case claim(term: UInt64)
    /// The session is unknown, expired or fenced.
    case noSession
    /// The leader waits for the claims of others, or too much waits already.
    case busy

    init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .notLeader(try reader.optional { inner throws(DecodeError) in try NodeID(from: &inner) })
        case 1: self = .claim(term: try reader.integer())
        case 2: self = .noSession
        case 3: self = .busy
        default: throw .invalid("refusal")
        }
    }

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .notLeader(let leader):
            writer.integer(UInt8(0))
            writer.optional(leader) { $1.encode(to: &$0) }
        case .claim(let term):
            writer.integer(UInt8(1))
            writer.integer(term)
        case .noSession: writer.integer(UInt8(2))
        case .busy: writer.integer(UInt8(3))
        }
    }

    var error: TransportError {
        let text =
            switch self {
            case .notLeader: "not the leader of the metadata service"
            case .claim: "a new leader waits for the session's claims"
            case .noSession: "no such session"
            case .busy: "the leader cannot serve this now"
            }
        return TransportError(.failed, text, detail: encoded)
    }

    /// The refusal that an error carries, if it carries one.
    static func of(_ error: TransportError) -> Refusal? {
        guard error.code == .failed else { return nil }
        return try? Refusal(decoding: error.detail)
    }
}
