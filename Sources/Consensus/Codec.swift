package import Bytes
import Model

// The byte layout on the wire and in the journal. All integers are little-endian; decoders are total and bounded by `Limits`.

/// A node id other than 0, which names nobody.
private func node(_ reader: inout ByteReader) throws(DecodeError) -> NodeID {
    let id = try NodeID(from: &reader)
    guard id.rawValue != 0 else { throw .invalid("node id") }
    return id
}

/// A term or index within `Limits.number`.
private func number(_ reader: inout ByteReader) throws(DecodeError) -> UInt64 {
    let value: UInt64 = try reader.integer()
    guard value <= Limits.number else { throw .invalid("term or index") }
    return value
}

/// The number of an incarnation, which is never 0.
private func incarnation(_ reader: inout ByteReader) throws(DecodeError) -> UInt64 {
    let value: UInt64 = try reader.integer()
    guard value != 0 else { throw .invalid("incarnation") }
    return value
}

extension Configuration: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        let voters = try reader.array(max: Limits.members, node)
        let learners = try reader.array(max: Limits.members - voters.count, node)
        self.init(voters: voters, learners: learners)
        // The group of a server that knows nothing yet has no voters; it is the only one that may.
        guard isValid || self == .unknown else { throw .invalid("configuration") }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.array(voters) { $1.encode(to: &$0) }
        writer.array(learners) { $1.encode(to: &$0) }
    }
}

extension Entry: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        let term = try number(&reader)
        let index = try number(&reader)
        // The log begins at 1; 0 stands for "before it".
        guard index > 0 else { throw .invalid("index of an entry") }
        let payload: Payload
        switch try reader.integer(UInt8.self) {
        case 0: payload = .empty
        case 1: payload = .data(try reader.bytes(max: Limits.payload))
        case 2: payload = .configuration(try Configuration(from: &reader))
        default: throw .invalid("entry kind")
        }
        self.init(term: term, index: index, payload: payload)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(term)
        writer.integer(index)
        switch payload {
        case .empty:
            writer.integer(UInt8(0))
        case .data(let data):
            writer.integer(UInt8(1))
            writer.bytes(data)
        case .configuration(let configuration):
            writer.integer(UInt8(2))
            configuration.encode(to: &writer)
        }
    }
}

extension HardState: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        let term = try number(&reader)
        self.init(term: term, vote: try reader.optional(node), standing: try Standing(from: &reader))
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(term)
        writer.optional(vote) { $1.encode(to: &$0) }
        standing.encode(to: &writer)
    }
}

extension Standing: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .trusted
        case 1: self = .recovering
        case 2:
            let index = try number(&reader)
            guard index > 0 else { throw .invalid("standing") }
            self = .admitted(upTo: index)
        default: throw .invalid("standing")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .trusted: writer.integer(UInt8(0))
        case .recovering: writer.integer(UInt8(1))
        case .admitted(let index):
            writer.integer(UInt8(2))
            writer.integer(index)
        }
    }
}

extension SnapshotMark: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        let index = try number(&reader)
        let term = try number(&reader)
        self.init(index: index, term: term, configuration: try Configuration(from: &reader))
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(index)
        writer.integer(term)
        configuration.encode(to: &writer)
    }
}

extension Message: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        let term = try number(&reader)
        let kind: Kind
        switch try reader.integer(UInt8.self) {
        case 1:
            kind = .requestVote(
                lastIndex: try number(&reader), lastTerm: try number(&reader), preVote: try reader.boolean(), transfer: try reader.boolean())
        case 2:
            kind = .vote(granted: try reader.boolean(), preVote: try reader.boolean())
        case 3:
            let previousIndex = try number(&reader)
            let previousTerm = try number(&reader)
            let commit = try number(&reader)
            let probe: UInt64 = try reader.integer()
            let entries = try reader.array(max: Limits.batchEntries) { (reader: inout ByteReader) throws(DecodeError) in
                try Entry(from: &reader)
            }
            kind = .append(previousIndex: previousIndex, previousTerm: previousTerm, entries: entries, commit: commit, probe: probe)
        case 4:
            kind = .appended(index: try number(&reader), probe: try reader.integer())
        case 5:
            kind = .conflict(rejected: try number(&reader), index: try number(&reader), term: try number(&reader), probe: try reader.integer())
        case 6:
            kind = .timeoutNow
        case 7:
            kind = .recovering(incarnation: try incarnation(&reader), probe: try reader.integer())
        case 8:
            kind = .admit(incarnation: try incarnation(&reader), index: try number(&reader))
        case 9:
            kind = .distrust(index: try number(&reader))
        default:
            throw .invalid("message kind")
        }
        self.init(term: term, kind: kind)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(term)
        switch kind {
        case .requestVote(let lastIndex, let lastTerm, let preVote, let transfer):
            writer.integer(UInt8(1))
            writer.integer(lastIndex)
            writer.integer(lastTerm)
            writer.boolean(preVote)
            writer.boolean(transfer)
        case .vote(let granted, let preVote):
            writer.integer(UInt8(2))
            writer.boolean(granted)
            writer.boolean(preVote)
        case .append(let previousIndex, let previousTerm, let entries, let commit, let probe):
            writer.integer(UInt8(3))
            writer.integer(previousIndex)
            writer.integer(previousTerm)
            writer.integer(commit)
            writer.integer(probe)
            writer.array(entries) { $1.encode(to: &$0) }
        case .appended(let index, let probe):
            writer.integer(UInt8(4))
            writer.integer(index)
            writer.integer(probe)
        case .conflict(let rejected, let index, let term, let probe):
            writer.integer(UInt8(5))
            writer.integer(rejected)
            writer.integer(index)
            writer.integer(term)
            writer.integer(probe)
        case .timeoutNow:
            writer.integer(UInt8(6))
        case .recovering(let incarnation, let probe):
            writer.integer(UInt8(7))
            writer.integer(incarnation)
            writer.integer(probe)
        case .admit(let incarnation, let index):
            writer.integer(UInt8(8))
            writer.integer(incarnation)
            writer.integer(index)
        case .distrust(let index):
            writer.integer(UInt8(9))
            writer.integer(index)
        }
    }
}
