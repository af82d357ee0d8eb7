package import Bytes
import Runtime

extension Journal {
    /// From this size on, checksums are computed on a worker: a hop costs about as much as a checksum of this many bytes.
    private static let workerBytesMin = 256 << 10

    /// Reads one whole record of `length` bytes and checks all of it.
    /// - Throws: `.corrupt` if it is damaged, `.invalid` if there is no such segment.
    package func read(at position: JournalPosition, length: Int) async throws(JournalError) -> JournalRecord {
        let segment = try find(position)
        guard length >= RecordHead.count, length <= RecordHead.length(headerCount: RecordHead.headerMax, payloadCount: RecordHead.payloadLimit)
        else { throw JournalError(.invalid, "no record has \(length) bytes") }
        let bytes = try await readBytes(segment, at: position.offset, count: length)
        let parser = RecordParser(segment: segment.number, salt: segment.header.salt, payloads: true)
        let parsed: RecordParser.Result
        if length >= Self.workerBytesMin {
            parsed = await environment.workers.run { parser.parse(bytes, offset: position.offset, sequence: nil) }
        } else {
            parsed = parser.parse(bytes, offset: position.offset, sequence: nil)
        }
        guard let record = parsed.records.first, record.length == length else {
            throw corrupt(position, "the record does not match its checksums")
        }
        return record
    }

    /// Reads `range` of the payload of a record and checks the pages it touches and the user's header.
    /// - Returns: the user's header and the bytes of the range.
    /// - Throws: `.corrupt` if any of them is damaged or the lengths are not those of the record; `.invalid` if there is no such segment.
    package func read(
        at position: JournalPosition, headerCount: Int, payloadCount: Int, range: Range<Int>
    ) async throws(JournalError) -> (header: Slice, bytes: Slice) {
        let segment = try find(position)
        guard headerCount >= 0, headerCount <= RecordHead.headerMax, payloadCount >= 0, payloadCount <= RecordHead.payloadLimit,
            range.lowerBound >= 0, range.upperBound <= payloadCount
        else { throw JournalError(.invalid, "range \(range) of a record of \(payloadCount) bytes") }
        let length = RecordHead.length(headerCount: headerCount, payloadCount: payloadCount)
        let front = RecordHead.count + headerCount + JournalPayload.pages(of: payloadCount) * 4
        let page = JournalPayload.pageBytes
        let first = range.lowerBound / page
        let pagesEnd = min(payloadCount, (range.upperBound + page - 1) / page * page)
        let pages = first * page..<max(first * page, pagesEnd)
        // One read if little lies between the front and the pages, else two.
        let together = pages.lowerBound <= 64 << 10
        let piece = try await readBytes(segment, at: position.offset, count: together ? front + pages.upperBound : front)
        let head = piece.withBytes { bytes -> RecordHead? in
            guard let head = RecordHead(bytes, salt: segment.header.salt, offset: position.offset), head.headerCount == headerCount,
                head.payloadCount == payloadCount, head.length == length, head.bodyMatches(bytes)
            else { return nil }
            return head
        }
        guard let head, let header = piece.part(offset: RecordHead.count, count: headerCount) else {
            throw corrupt(position, "the record's front does not match its checksums")
        }
        let body: Slice
        if together {
            guard let inside = piece.part(offset: front + pages.lowerBound, count: pages.count) else {
                throw corrupt(position, "the record ends early")
            }
            body = inside
        } else {
            body = try await readBytes(segment, at: position.offset + UInt64(front + pages.lowerBound), count: pages.count)
        }
        let matches: Bool
        if body.count >= Self.workerBytesMin {
            matches = await environment.workers.run { piece.withBytes { front in body.withBytes { head.pagesMatch(front, part: $0, first: first) } } }
        } else {
            matches = piece.withBytes { front in body.withBytes { head.pagesMatch(front, part: $0, first: first) } }
        }
        guard matches, let result = body.part(offset: range.lowerBound - pages.lowerBound, count: range.count) else {
            throw corrupt(position, "bytes \(pages) of the payload do not match their checksums")
        }
        return (header, result)
    }

    /// The file of a record's segment and where in it the record's payload begins; nil if there is no such segment.
    package func payloadPlace(at position: JournalPosition, headerCount: Int, payloadCount: Int) -> (path: String, offset: UInt64)? {
        guard let segment = byNumber[position.segment] else { return nil }
        return (segment.path, position.offset + UInt64(RecordHead.count + headerCount + JournalPayload.pages(of: payloadCount) * 4))
    }

    /// The record that begins at `position`, read and checked; nil at the end of its segment.
    package func record(at position: JournalPosition) async throws(JournalError) -> JournalRecord? {
        let segment = try find(position)
        if position.offset >= segment.used { return nil }
        let head = try await readHead(at: position, in: segment)
        if head.type == RecordHead.seal { return nil }
        return try await read(at: position, length: head.length)
    }

    /// Where the first record of a segment begins.
    package func firstPosition(of segment: UInt64) -> JournalPosition {
        JournalPosition(segment: segment, offset: UInt64(SegmentHeader.count))
    }

    func readHead(at position: JournalPosition, in segment: Segment) async throws(JournalError) -> RecordHead {
        let bytes = try await readBytes(segment, at: position.offset, count: RecordHead.count)
        guard let head = bytes.withBytes({ RecordHead($0, salt: segment.header.salt, offset: position.offset) }) else {
            throw corrupt(position, "there is no record")
        }
        return head
    }

    private func find(_ position: JournalPosition) throws(JournalError) -> Segment {
        guard let segment = byNumber[position.segment] else {
            throw JournalError(.invalid, "\(directory) has no segment \(position.segment)")
        }
        return segment
    }

    private func readBytes(_ segment: Segment, at offset: UInt64, count: Int) async throws(JournalError) -> Slice {
        let file = try await file(of: segment)
        let buffer: Buffer
        do throws(DiskError) {
            buffer = try await file.read(at: offset, count: count)
        } catch {
            throw JournalError(.failed, error.cause)
        }
        guard buffer.count == count else {
            throw corrupt(JournalPosition(segment: segment.number, offset: offset), "the file ends early")
        }
        return buffer.slice
    }

    func corrupt(_ position: JournalPosition, _ what: String) -> JournalError {
        JournalError(
            .corrupt(segment: position.segment, offset: position.offset),
            "\(directory)/\(SegmentHeader.name(of: position.segment)) at \(position.offset): \(what)")
    }
}
