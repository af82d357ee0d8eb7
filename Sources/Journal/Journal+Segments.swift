import Bytes
import Model
import Runtime

extension Journal {
    func availableBytes() async throws(JournalError) -> UInt64 {
        do throws(DiskError) {
            return try await environment.disk.space(at: directory).available
        } catch {
            throw JournalError(error)
        }
    }

    /// Seals the last segment and begins the next one, with room for a record of `length` bytes.
    func startSegment(holding length: Int, urgent: Bool) async throws(JournalError) {
        while isZeroing { await zeroingEnds() }
        if let failure { throw failure }
        let minimum = UInt64(SegmentHeader.count + length + RecordHead.count + 4095) & ~4095
        guard minimum <= SegmentHeader.bytesMax else { throw JournalError(.invalid, "a record of \(length) bytes fits no segment") }
        let available = try await availableBytes()
        let usable = urgent ? available : available - min(available, options.reserveBytes)
        let wanted = max(options.segmentBytes, minimum)
        // The last room of a disk is taken in smaller pieces, so that it is not all gone for one segment.
        let capacity = usable >= wanted ? wanted : max(minimum, min(wanted, usable / 2) & ~4095)
        guard usable >= capacity else {
            throw JournalError(.noSpace, "\(directory): a new segment needs \(capacity) bytes, \(usable) are available")
        }
        if let last = list.last, !last.sealed { try await seal(last) }
        let number = max(list.last?.number ?? 0, highestDamaged) + 1
        let header = SegmentHeader(
            use: options.use, cluster: options.cluster, node: options.node, number: number, salt: environment.random.next(),
            firstSequence: nextSequence, capacity: capacity)
        let path = directory + "/" + SegmentHeader.name(of: number)
        do throws(DiskError) {
            let segment = try await create(header, path: path)
            segment.fromReserve = available < options.reserveBytes + capacity
            list.append(segment)
            byNumber[number] = segment
            closeIdleFiles()
        } catch {
            // Its name is not synced and nothing is in it; what is left of it goes with the next attempt or the next opening.
            try? await environment.disk.remove(path)
            if error.code != .noSpace { fail(JournalError(error)) }
            throw JournalError(error)
        }
    }

    private func create(_ header: SegmentHeader, path: String) async throws(DiskError) -> Segment {
        let file: any DiskFile
        do throws(DiskError) {
            file = try await environment.disk.open(path, .createNew)
        } catch {
            guard error.code == .exists else { throw error }
            try await environment.disk.remove(path)
            file = try await environment.disk.open(path, .createNew)
        }
        try await file.allocate(offset: 0, length: header.capacity)
        let ahead = options.zeroFill ? min(Self.zeroStep, header.capacity) - UInt64(SegmentHeader.count) : 0
        try await file.write([header.encoded, Self.zeros(Int(ahead))], at: 0, sync: true)
        try await environment.disk.syncDirectory(directory)
        let segment = Segment(
            header: header, path: path, file: file, used: UInt64(SegmentHeader.count), fileBytes: header.capacity)
        segment.zeroedTo += ahead
        return segment
    }

    /// Writes the record that ends a segment and gives back the room behind it.
    private func seal(_ segment: Segment) async throws(JournalError) {
        let buffer = BufferPool.shared.buffer(capacity: RecordHead.count)
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let head = RecordHead(
            type: RecordHead.seal, sequence: nextSequence, durable: durableSequence, headerCount: 0, payloadCount: 0,
            bodyChecksum: CRC32C.checksum(empty))
        head.encode(into: buffer.base, salt: segment.header.salt, offset: segment.used)
        buffer.count = RecordHead.count
        let file = try await file(of: segment)
        do throws(DiskError) {
            try await file.write([buffer.slice], at: segment.used, sync: true)
            segment.lastRecord = segment.used
            segment.used += UInt64(RecordHead.count)
            segment.sealed = true
            segment.zeroFile = nil
            segment.fileBytes = max(segment.fileBytes, segment.used)
            nextSequence += 1
            durableSequence = nextSequence
            try await giveBackRoom(behind: segment, file)
        } catch {
            // Unlike a group, a torn seal is not worth cutting off: the room for it was preallocated.
            fail(JournalError(error))
            throw JournalError(.failed, error.cause)
        }
    }

    /// Cuts a sealed segment where it ends. Synced, so that the file of every segment but the last ends with its last record.
    func giveBackRoom(behind segment: Segment, _ file: any DiskFile) async throws(DiskError) {
        guard segment.fileBytes > segment.used else { return }
        try await file.truncate(to: segment.used)
        try await file.sync()
        segment.fileBytes = segment.used
    }

    /// Removes the full segments whose number is below `segment`, oldest first; returns when that is durable.
    package func removeSegments(before segment: UInt64) async throws(JournalError) {
        for old in list where old.number < segment && old.sealed { try await removeSegment(old.number) }
    }

    /// Removes one full segment; returns when that is durable. Fine if there is none of this number.
    package func removeSegment(_ number: UInt64) async throws(JournalError) {
        guard let segment = byNumber[number] else { return }
        // The last segment tells where numbering goes on.
        guard segment.sealed, number != list.last?.number else { throw JournalError(.invalid, "segment \(number) is in use") }
        do throws(DiskError) {
            try await remove(segment)
        } catch {
            throw JournalError(.failed, error.cause)
        }
    }

    private func remove(_ segment: Segment) async throws(DiskError) {
        do throws(DiskError) {
            try await environment.disk.remove(segment.path)
        } catch {
            guard error.code == .notFound else { throw error }
        }
        try await environment.disk.syncDirectory(directory)
        list.removeAll { $0 === segment }
        if byNumber[segment.number] === segment { byNumber[segment.number] = nil }
    }

    func truncateNow(from position: JournalPosition) async -> Result<JournalAppended?, JournalError> {
        if position == end.position { return .success(nil) }
        do throws(JournalError) {
            guard let segment = byNumber[position.segment], position.offset < segment.used else {
                throw JournalError(.invalid, "no record at \(position)")
            }
            let head = try await readHead(at: position, in: segment)
            while isZeroing { await zeroingEnds() }
            if let failure { throw failure }
            let file = try await file(of: segment)
            do throws(DiskError) {
                // The newest first, each one durably, so that a crash leaves a prefix.
                for later in list.reversed() where later.number > position.segment { try await remove(later) }
                segment.sealed = false
                try await cut(segment, file, at: position.offset)
                segment.used = position.offset
                segment.lastRecord = 0
                nextSequence = head.sequence
                durableSequence = head.sequence
            } catch {
                fail(JournalError(error))
                throw JournalError(.failed, error.cause)
            }
            return .success(nil)
        } catch {
            return .failure(error)
        }
    }
}
