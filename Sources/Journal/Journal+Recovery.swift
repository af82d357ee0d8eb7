import Bytes
import Runtime
import Telemetry

extension Journal {
    /// Bytes read at a time.
    private static let windowBytes = 4 << 20
    private static let headWindowBytes = 64 << 10

    /// Reads what is on disk into `list` and hands the records from `start` on to `visit`.
    ///
    /// The last file and the directory are synced before anything is handed out: after the death of the process alone, records may be
    /// readable that are not on the disk yet. Every earlier segment was synced when it was sealed.
    func recover(from start: JournalCursor?, _ visit: (JournalRecovery) -> Void) async throws(JournalError) {
        for number in try await segmentNumbers() { try await addSegment(number) }
        try await dropUnfinishedSegment()
        try await syncBeforeTrusting()
        if let start { try await check(start) }
        var previous: Segment?
        for (index, segment) in list.enumerated() {
            let isLast = index == list.count - 1
            if let start, segment.number < start.position.segment {
                // Not looked at, so its end is that of the file: it was cut there when it was sealed.
                segment.sealed = true
                segment.used = segment.fileBytes
                continue
            }
            if let previous, previous.number + 1 == segment.number, nextSequence != segment.header.firstSequence {
                try report(
                    corrupt(firstPosition(of: segment.number), "records \(nextSequence) to \(segment.header.firstSequence) are missing"))
            }
            let begin =
                start.flatMap { $0.position.segment == segment.number ? $0 : nil }
                ?? JournalCursor(position: firstPosition(of: segment.number), sequence: segment.header.firstSequence)
            try await scan(segment, from: begin, isLast: isLast, visit)
            previous = segment
        }
        closeIdleFiles()
    }

    /// Recovery cuts what does not go on from its start, so a start that is not of this journal must not be believed.
    private func check(_ start: JournalCursor) async throws(JournalError) {
        let segment = byNumber[start.position.segment]
        guard let segment, start.position.offset >= UInt64(SegmentHeader.count), start.position.offset <= segment.fileBytes,
            start.position.offset % 8 == 0, start.sequence >= segment.header.firstSequence, start.sequence <= RecordHead.sequenceStartMax
        else {
            throw JournalError(.invalid, "\(directory) does not reach to segment \(start.position.segment), \(start.position.offset)")
        }
        let piece = try await window(try await file(of: segment), at: start.position.offset, count: RecordHead.count)
        let head = piece.withBytes { RecordHead($0, salt: segment.header.salt, offset: start.position.offset) }
        if let head, head.sequence != start.sequence {
            throw JournalError(
                .invalid, "\(segment.path) has record \(head.sequence) at \(start.position.offset), where record \(start.sequence) should be")
        }
    }

    private func segmentNumbers() async throws(JournalError) -> [UInt64] {
        do throws(DiskError) {
            try await environment.disk.createDirectory(directory)
            return try await environment.disk.list(directory).compactMap(SegmentHeader.number(of:)).sorted()
        } catch {
            throw JournalError(error)
        }
    }

    /// Adds the segment with what its header says. A header that says nothing makes a segment that `dropUnfinishedSegment` judges.
    private func addSegment(_ number: UInt64) async throws(JournalError) {
        let path = directory + "/" + SegmentHeader.name(of: number)
        let file: any DiskFile
        let length: UInt64
        let first: Buffer
        do throws(DiskError) {
            file = try await environment.disk.open(path, .existing)
            length = try await file.length()
            first = try await file.read(at: 0, count: SegmentHeader.count)
        } catch {
            throw JournalError(error)
        }
        switch SegmentHeader.decode(first.bytes) {
        case .newer(let version):
            throw JournalError(.foreign, "\(path) has format \(version), this program knows up to \(SegmentHeader.version)")
        case .header(let header) where header.number == number:
            guard header.cluster == options.cluster, header.node == options.node, header.use == options.use else {
                throw JournalError(
                    .foreign,
                    "\(path) belongs to node \(header.node) of cluster \(header.cluster), use \(header.use); "
                        + "this is node \(options.node) of cluster \(options.cluster), use \(options.use)")
            }
            let segment = Segment(header: header, path: path, file: file, used: UInt64(SegmentHeader.count), fileBytes: length)
            list.append(segment)
            byNumber[number] = segment
            closeIdleFiles()
        case .header, .invalid:
            unreadable.append((number, path, file, length))
        }
    }

    /// The newest file may have died while it was made, before anything could be written to it: then it goes. Every other file without a header is
    /// damaged.
    private func dropUnfinishedSegment() async throws(JournalError) {
        for (number, path, file, length) in unreadable {
            let newest = number > (list.last?.number ?? 0) && number == unreadable.last?.number
            if newest, try await isZero(file, from: UInt64(SegmentHeader.count), to: length) {
                log.info("removing a segment that was never finished", ["path": path])
                do throws(DiskError) { try await environment.disk.remove(path) } catch { throw JournalError(error) }
            } else {
                try report(corrupt(JournalPosition(segment: number, offset: 0), "the segment's header is damaged"))
                // Its number must not be used again while the file is there.
                highestDamaged = max(highestDamaged, number)
            }
        }
        unreadable = []
    }

    private func syncBeforeTrusting() async throws(JournalError) {
        do throws(DiskError) {
            if let last = list.last { try await last.file?.sync() }
            try await environment.disk.syncDirectory(directory)
        } catch {
            throw JournalError(error)
        }
    }

    /// Throws, or logs, as the options say.
    private func report(_ damage: JournalError) throws(JournalError) {
        if options.corruption == .refuse { throw damage }
        log.error("damage in a journal", ["cause": damage.cause])
    }

    private func isZero(_ file: any DiskFile, from start: UInt64, to end: UInt64) async throws(JournalError) -> Bool {
        var offset = start
        while offset < end {
            let piece = try await window(file, at: offset, count: Self.windowBytes)
            if piece.isEmpty { return true }
            let zero = await environment.workers.run { piece.withBytes { bytes in !bytes.contains { $0 != 0 } } }
            if !zero { return false }
            offset += UInt64(piece.count)
        }
        return true
    }

    private func window(_ file: any DiskFile, at offset: UInt64, count: Int) async throws(JournalError) -> Slice {
        do throws(DiskError) {
            return try await file.read(at: offset, count: count).slice
        } catch {
            throw JournalError(error)
        }
    }

    /// Hands out the records of one segment and finds its end.
    private func scan(
        _ segment: Segment, from begin: JournalCursor, isLast: Bool, _ visit: (JournalRecovery) -> Void
    ) async throws(JournalError) {
        let file = try await file(of: segment)
        let parser = RecordParser(
            segment: segment.number, salt: segment.header.salt, payloads: isLast || options.recoverPayloads)
        let usual = parser.payloads ? Self.windowBytes : Self.headWindowBytes
        var offset = begin.position.offset
        var sequence = begin.sequence
        var count = usual
        while true {
            let piece = try await window(file, at: offset, count: count)
            let parsed = await environment.workers.run { [offset, sequence] in parser.parse(piece, offset: offset, sequence: sequence) }
            for record in parsed.records { visit(.record(record)) }
            let advanced = parsed.nextOffset > offset
            offset = parsed.nextOffset
            sequence = parsed.nextSequence
            var damaged: JournalRecord?
            switch parsed.stop {
            case .sealed:
                finish(segment, at: offset, sequence: sequence, sealed: true)
                do throws(DiskError) { try await giveBackRoom(behind: segment, file) } catch { throw JournalError(error) }
                return
            case .needs(let needed) where advanced || (needed > piece.count && piece.count == count):
                count = max(usual, needed)
                continue
            case .damaged(let record): damaged = record
            case .needs, .nothing: break
            }
            // No record with this number is here. Was it ever durable?
            let ahead = try await lookAhead(file, parser, from: offset, above: sequence)
            if isLast, ahead.durable <= sequence {
                finish(segment, at: offset, sequence: sequence, sealed: false)
                if !ahead.allZero || segment.fileBytes < segment.header.capacity { try await cutTail(segment, file) }
                return
            }
            let place = JournalPosition(segment: segment.number, offset: offset)
            try report(corrupt(place, "record \(sequence) is damaged"))
            if var damaged {
                damaged.intact = false
                visit(.record(damaged))
                offset = damaged.next.position.offset
                sequence = damaged.next.sequence
            } else if let first = ahead.first {
                visit(.damage(place, count: first.offset - offset))
                offset = first.offset
                sequence = first.sequence
            } else {
                visit(.damage(place, count: segment.fileBytes - min(offset, segment.fileBytes)))
                finish(segment, at: segment.fileBytes, sequence: sequence, sealed: true)
                return
            }
            count = usual
        }
    }

    private func finish(_ segment: Segment, at offset: UInt64, sequence: UInt64, sealed: Bool) {
        segment.used = offset
        segment.zeroedTo = offset
        segment.sealed = sealed
        nextSequence = sequence
        durableSequence = sequence
    }

    /// Removes the remains of appends that never returned, and takes back the room of the segment.
    private func cutTail(_ segment: Segment, _ file: any DiskFile) async throws(JournalError) {
        log.info("cutting the tail of a journal", ["path": segment.path, "offset": String(segment.used)])
        do throws(DiskError) { try await cut(segment, file, at: segment.used) } catch { throw JournalError(error) }
    }

    /// Looks at everything from `offset` to the end of the file.
    private func lookAhead(
        _ file: any DiskFile, _ parser: RecordParser, from offset: UInt64, above sequence: UInt64
    ) async throws(JournalError) -> RecordParser.Ahead {
        var ahead = RecordParser.Ahead()
        var offset = offset
        while true {
            let piece = try await window(file, at: offset, count: Self.windowBytes)
            let found = await environment.workers.run { [offset] in parser.search(piece, offset: offset, above: sequence) }
            ahead.add(found)
            guard piece.count == Self.windowBytes else { return ahead }
            // A head may lie across the end of the piece.
            offset += UInt64(Self.windowBytes - RecordHead.count)
        }
    }
}
