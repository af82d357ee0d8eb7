import Bytes
import Model

/// Finds records in a piece of a segment. Pure; runs on a worker.
struct RecordParser: Sendable {
    let segment: UInt64
    let salt: UInt64
    /// Whether payloads are read and checked.
    let payloads: Bool

    struct Result: Sendable {
        var records: [JournalRecord] = []
        /// Parallel to `records`: their `durable`.
        var nextOffset: UInt64
        var nextSequence: UInt64
        var stop: Stop
    }

    enum Stop: Sendable {
        /// The piece ends within or in front of the record at `nextOffset`; that one needs this many bytes to be judged.
        case needs(Int)
        /// There is no record with the expected sequence number at `nextOffset`.
        case nothing
        /// The head and header at `nextOffset` are whole, the payload is not.
        case damaged(JournalRecord)
        /// The segment ends here. Records below this sequence number were durable when that was written.
        case sealed(durable: UInt64)
    }

    /// Parses records from the start of `piece`, which lies at `offset` of the segment.
    /// - Parameter sequence: the number the first record must have; nil for any.
    func parse(_ piece: Slice, offset start: UInt64, sequence expected: UInt64?) -> Result {
        piece.withBytes { bytes in
            var result = Result(nextOffset: start, nextSequence: expected ?? 0, stop: .nothing)
            var expected = expected
            var place = 0
            while true {
                result.nextOffset = start + UInt64(place)
                guard place + RecordHead.count <= bytes.count else {
                    result.stop = .needs(RecordHead.count)
                    return result
                }
                let rest = UnsafeRawBufferPointer(rebasing: bytes[place...])
                guard let head = RecordHead(rest, salt: salt, offset: result.nextOffset),
                    expected == nil || head.sequence == expected
                else { return result }
                let needed = payloads ? head.length : head.payloadOffset
                guard needed <= rest.count else {
                    result.stop = .needs(needed)
                    return result
                }
                guard head.bodyMatches(rest), let record = record(head, in: piece, at: place, offset: result.nextOffset) else {
                    return result
                }
                if payloads {
                    let part = UnsafeRawBufferPointer(rebasing: rest[head.payloadOffset..<head.payloadOffset + head.payloadCount])
                    guard head.pagesMatch(rest, part: part, first: 0) else {
                        result.stop = .damaged(record)
                        return result
                    }
                }
                expected = head.sequence + 1
                result.nextSequence = head.sequence + 1
                place += head.length
                result.nextOffset = start + UInt64(place)
                if head.type == RecordHead.seal {
                    result.stop = .sealed(durable: head.durable)
                    return result
                }
                result.records.append(record)
                guard place <= bytes.count else {
                    // Headers only: the next record begins behind this piece.
                    result.stop = .needs(RecordHead.count)
                    return result
                }
            }
        }
    }

    private func record(_ head: RecordHead, in piece: Slice, at place: Int, offset: UInt64) -> JournalRecord? {
        guard let header = piece.part(offset: place + RecordHead.count, count: head.headerCount),
            let payload = piece.part(offset: place + (payloads ? head.payloadOffset : 0), count: payloads ? head.payloadCount : 0)
        else { return nil }
        return JournalRecord(
            position: JournalPosition(segment: segment, offset: offset), sequence: head.sequence, type: head.type, header: header,
            payload: payload, payloadCount: head.payloadCount, intact: true, length: head.length, durable: head.durable)
    }

    /// What lies behind a place where no record is.
    struct Ahead: Sendable {
        /// The first head with a sequence number above the missing one.
        var first: (offset: UInt64, sequence: UInt64)?
        /// The highest `durable` of such heads.
        var durable: UInt64 = 0
        var allZero = true

        mutating func add(_ other: Ahead) {
            first = first ?? other.first
            durable = max(durable, other.durable)
            allZero = allZero && other.allZero
        }
    }

    /// Looks for heads at every multiple of 8 in `piece`, which lies at `offset` of the segment.
    func search(_ piece: Slice, offset start: UInt64, above sequence: UInt64) -> Ahead {
        piece.withBytes { bytes in
            var ahead = Ahead()
            var place = 0
            while place < bytes.count {
                guard place + 8 <= bytes.count else {
                    if bytes[place...].contains(where: { $0 != 0 }) { ahead.allZero = false }
                    break
                }
                let word = bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                if word != 0 {
                    ahead.allZero = false
                    if UInt32(truncatingIfNeeded: UInt64(littleEndian: word)) == RecordHead.magic,
                        let head = RecordHead(
                            UnsafeRawBufferPointer(rebasing: bytes[place...]), salt: salt, offset: start + UInt64(place)),
                        head.sequence > sequence, head.sequence <= RecordHead.sequenceStartMax
                    {
                        if ahead.first == nil { ahead.first = (start + UInt64(place), head.sequence) }
                        ahead.durable = max(ahead.durable, head.durable)
                    }
                }
                place += 8
            }
            return ahead
        }
    }
}
