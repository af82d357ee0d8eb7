import Bytes
import Runtime
import Telemetry

extension Journal {
    /// Bytes read at a time.
    private static let windowBytes = 4 << 20
    private static let headWindowBytes = 64 << 10

    /// Reads what is on disk into `list` and hands the records from `start` on to `visit`.
    ///
    /// The end of the last file and the directory are made durable before anything is handed out: after the death of the process alone, records may
    /// be readable that are not on the disk yet. Every earlier segment was synced when it was sealed.
    func recover(from start: JournalCursor?, _ visit: (JournalRecovery) -> Void) async throws(JournalError) {
        for number in try await segmentNumbers() { try await addSegment(number) }
        try await dropUnfinishedSegment()
        try await syncDirectory()
        if let start { try await checkReach(to: start) }
        if let last = list.last { try await secureTail(of: last, from: begin(of: last, start)) }
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
            _ = try await scan(segment, from: begin(of: segment, start), isLast: isLast, isRehearsal: false, visit)
            previous = segment
        }
        closeIdleFiles()
    }

    /// Throws `.invalid` if the journal does not hold what lies before `start`.
    private func checkReach(to start: JournalCursor) async throws(JournalError) {
        let place = start.position
        let missing = JournalError(.invalid, "\(directory) does not reach to segment \(place.segment), \(place.offset)")
        guard let segment = byNumber[place.segment], place.offset >= UInt64(SegmentHeader.count), place.offset <= segment.fileBytes,
            place.offset % 8 == 0, start.sequence >= segment.header.firstSequence,
            start.sequence <= RecordHead.sequenceStartMax
        else { throw missing }
        segment.lastRecord = start.previous
        guard start.previous > 0 else { return }
        do throws(JournalError) {
            let head = try await readHead(at: JournalPosition(segment: place.segment, offset: start.previous), in: segment)
            guard head.sequence + 1 == start.sequence, start.previous + UInt64(head.length) == place.offset else { throw missing }
        } catch {
            guard case .corrupt = error.code else { throw error }
            throw missing
        }
    }

    private func begin(of segment: Segment, _ start: JournalCursor?) -> JournalCursor {
        start.flatMap { $0.position.segment == segment.number ? $0 : nil }
            ?? JournalCursor(position: firstPosition(of: segment.number), sequence: segment.header.firstSequence, previous: 0)
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

    private func syncDirectory() async throws(JournalError) {
        do throws(DiskError) { try await environment.disk.syncDirectory(directory) } catch { throw JournalError(error) }
    }

    /// Writes again and syncs what no later record of the segment says to have been durable.
    ///
    /// A sync alone would prove nothing: if one failed before, the kernel still shows the pages but counts them as clean, and writes them no more.
    private func secureTail(of segment: Segment, from begin: JournalCursor) async throws(JournalError) {
        let unproven = try await scan(segment, from: begin, isLast: true, isRehearsal: true) { _ in }
        let file = try await file(of: segment)
        do throws(DiskError) {
            var offset = unproven ?? segment.used
            // Without a record the header itself is not proven.
            if segment.used == UInt64(SegmentHeader.count) { offset = 0 }
            while offset < segment.used {
                let piece = try await file.read(at: offset, count: Int(min(segment.used - offset, UInt64(Self.windowBytes))))
                guard piece.count > 0 else { break }
                try await file.write([piece.slice], at: offset, sync: false)
                offset += UInt64(piece.count)
            }
            try await file.sync()
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
    /// - Parameter isRehearsal: only look; the file is left as it is, and damage is told in the performance.
    /// - Returns: where the first record begins that no later one says to have been durable; nil if there is none.
    private func scan(
        _ segment: Segment, from begin: JournalCursor, isLast: Bool, isRehearsal: Bool, _ visit: (JournalRecovery) -> Void
    ) async throws(JournalError) -> UInt64? {
        let file = try await file(of: segment)
        let parser = RecordParser(
            segment: segment.number, salt: segment.header.salt, payloads: isLast || options.recoverPayloads)
        let usual = parser.payloads ? Self.windowBytes : Self.headWindowBytes
        var offset = begin.position.offset
        var sequence = begin.sequence
        var count = usual
        var unproven = UnprovenRecords()
        while true {
            let piece = try await window(file, at: offset, count: count)
            let parsed = await environment.workers.run { [offset, sequence] in parser.parse(piece, offset: offset, sequence: sequence) }
            for record in parsed.records {
                unproven.add(record.sequence, at: record.position.offset, durable: record.durable)
                visit(.record(record))
                segment.lastRecord = record.position.offset
            }
            let advanced = parsed.nextOffset > offset
            offset = parsed.nextOffset
            sequence = parsed.nextSequence
            var damaged: JournalRecord?
            switch parsed.stop {
            case .sealed(let durable):
                finish(segment, at: offset, sequence: sequence, sealed: true)
                segment.lastRecord = offset - UInt64(RecordHead.count)
                unproven.add(sequence - 1, at: segment.lastRecord, durable: durable)
                if isRehearsal { return unproven.first }
                do throws(DiskError) { try await giveBackRoom(behind: segment, file) } catch { throw JournalError(error) }
                return unproven.first
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
                if !isRehearsal, !ahead.allZero || segment.fileBytes < segment.header.capacity { try await cutTail(segment, file) }
                return unproven.first
            }
            let place = JournalPosition(segment: segment.number, offset: offset)
            if !isRehearsal || options.corruption == .refuse { try report(corrupt(place, "record \(sequence) is damaged")) }
            if var damaged {
                damaged.intact = false
                visit(.record(damaged))
                segment.lastRecord = offset
                offset = damaged.next.position.offset
                sequence = damaged.next.sequence
            } else if let first = ahead.first {
                visit(.damage(place, count: first.offset - offset))
                offset = first.offset
                sequence = first.sequence
            } else {
                visit(.damage(place, count: segment.fileBytes - min(offset, segment.fileBytes)))
                finish(segment, at: segment.fileBytes, sequence: sequence, sealed: true)
                segment.lastRecord = 0
                return unproven.first
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
