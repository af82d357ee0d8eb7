import Bytes
import Runtime

extension Journal {
    /// Answers requests in their order until there are none.
    func flush() async {
        while let first = queue.first {
            if let failure {
                let rest = queue
                queue.removeAll()
                for request in rest { request.continuation.resume(returning: .failure(failure)) }
                break
            }
            switch first.work {
            case .truncate(let position):
                queue.removeFirst()
                first.continuation.resume(returning: await truncateNow(from: position))
            case .roll:
                queue.removeFirst()
                do throws(JournalError) {
                    try await startSegment(holding: 0, urgent: true)
                    first.continuation.resume(returning: .success(nil))
                } catch {
                    first.continuation.resume(returning: .failure(error))
                }
            case .append(let record):
                if let error = await makeRoom(for: record) {
                    queue.removeFirst()
                    first.continuation.resume(returning: .failure(error))
                } else {
                    await flushGroup()
                }
            case .sync:
                await flushGroup()
            }
        }
        isFlushing = false
    }

    /// Sees to it that the last segment can take `record`. Nil if it can.
    private func makeRoom(for record: PendingRecord) async -> JournalError? {
        do throws(JournalError) {
            if let last = list.last, last.fits(record.length) {
                guard last.fromReserve, !record.urgent else { return nil }
                let available = try await availableBytes()
                guard available >= options.reserveBytes else {
                    throw JournalError(.noSpace, "\(directory): only \(available) bytes available, \(options.reserveBytes) are held back")
                }
                last.fromReserve = false
                return nil
            }
            try await startSegment(holding: record.length, urgent: record.urgent)
            return nil
        } catch {
            return error
        }
    }

    private func mayTake(_ record: PendingRecord, after used: Int, in segment: Segment) -> Bool {
        segment.fits(used + record.length) && (used == 0 || used + record.length <= options.groupBytesMax)
            && (record.urgent || !segment.fromReserve)
    }

    /// Writes the first requests of the queue, as many as go together, in one step.
    private func flushGroup() async {
        guard let segment = list.last else {
            // Nothing was ever written, so there is nothing to sync.
            if case .sync = queue.first?.work { queue.removeFirst().continuation.resume(returning: .success(nil)) }
            return
        }
        var total = 0
        var count = 0
        var wantsSync = false
        collect: for request in queue {
            switch request.work {
            case .append(let record):
                guard mayTake(record, after: total, in: segment) else { break collect }
                total += record.length
                wantsSync = wantsSync || record.sync
            case .sync: wantsSync = true
            case .truncate, .roll: break collect
            }
            count += 1
        }
        let group = Array(queue[..<count])
        queue.removeFirst(count)
        let start = segment.used
        let (parts, places) = layOut(group, in: segment, total: total)
        var failed: JournalError?
        do throws(JournalError) {
            if total > 0 {
                try await waitForZeroing(until: start + UInt64(total), in: segment)
                try await write(parts, to: segment, total: total, sync: wantsSync)
            } else if durableSequence < nextSequence {
                let file = try await file(of: segment)
                do throws(DiskError) {
                    try await file.sync()
                } catch {
                    fail(JournalError(error))
                    throw JournalError(.failed, error.cause)
                }
            }
            segment.used = start + UInt64(total)
            if let last = places.last { segment.lastRecord = last.position.offset }
            nextSequence += UInt64(places.count)
            if wantsSync { durableSequence = nextSequence }
        } catch {
            failed = error
        }
        if let failed {
            for request in group { request.continuation.resume(returning: .failure(failed)) }
            return
        }
        var index = 0
        for request in group {
            guard case .append(let record) = request.work else { continue }
            record.written?(places[index])
            index += 1
        }
        index = 0
        for request in group {
            guard case .append = request.work else {
                request.continuation.resume(returning: .success(nil))
                continue
            }
            request.continuation.resume(returning: .success(places[index]))
            index += 1
        }
        zeroAhead(in: segment)
    }

    /// One write at the end of the segment.
    ///
    /// If the disk is full, what was written of the group is cut off again: it was never acknowledged, everything before it is durable already,
    /// and the cut is synced before anything else happens. That holds only if everything before the group is durable; otherwise, and after every other error, the
    /// journal has failed, as it cannot be told whether it was the write or the sync.
    private func write(_ parts: [Slice], to segment: Segment, total: Int, sync: Bool) async throws(JournalError) {
        let file = try await file(of: segment)
        do throws(DiskError) {
            try await file.write(parts, at: segment.used, sync: sync)
            segment.fileBytes = max(segment.fileBytes, segment.used + UInt64(total))
        } catch {
            let cause = JournalError(error)
            guard cause.code == .noSpace, durableSequence == nextSequence else {
                fail(cause)
                throw JournalError(.failed, cause.cause)
            }
            do throws(DiskError) {
                while isZeroing { await zeroingEnds() }
                try await cut(segment, file, at: segment.used)
            } catch {
                fail(JournalError(error))
                throw JournalError(.failed, error.cause)
            }
            throw cause
        }
    }

    /// Makes the segment end at `offset`, durably.
    func cut(_ segment: Segment, _ file: any DiskFile, at offset: UInt64) async throws(DiskError) {
        try await file.truncate(to: offset)
        segment.fileBytes = offset
        segment.zeroedTo = offset
        do throws(DiskError) {
            try await file.allocate(offset: offset, length: segment.header.capacity - min(offset, segment.header.capacity))
            segment.fileBytes = max(offset, segment.header.capacity)
        } catch {
            // Without preallocated room later writes may find the disk full, which they can handle.
            guard error.code == .noSpace else { throw error }
        }
        try await file.sync()
    }

    /// The bytes of a group and where its records will be. Small payloads are copied so that the write has few parts.
    private func layOut(_ group: [Request], in segment: Segment, total: Int) -> ([Slice], [JournalAppended]) {
        let records = group.compactMap { request -> PendingRecord? in
            if case .append(let record) = request.work { record } else { nil }
        }
        let apart = records.reduce(0) { sum, record in
            let count = record.payload?.bytes.count ?? 0
            return count > Self.copiedMax ? sum + count : sum
        }
        let staging = BufferPool.shared.buffer(capacity: total - apart)
        var parts: [Slice] = []
        var places: [JournalAppended] = []
        var filled = 0
        var partStart = 0
        var offset = segment.used
        for record in records {
            let payload = record.payload?.bytes
            let payloadCount = payload?.count ?? 0
            let base = staging.base + filled
            var head = RecordHead(
                type: record.type, sequence: nextSequence + UInt64(places.count), durable: durableSequence,
                headerCount: record.header.count, payloadCount: payloadCount, bodyChecksum: 0)
            let body = UnsafeMutableRawBufferPointer(start: base + RecordHead.count, count: head.payloadOffset - RecordHead.count)
            body.copyBytes(from: record.header)
            var place = record.header.count
            for checksum in record.payload?.checksums ?? [] {
                body.storeBytes(of: checksum.littleEndian, toByteOffset: place, as: UInt32.self)
                place += 4
            }
            head.bodyChecksum = CRC32C.checksum(UnsafeRawBufferPointer(body))
            head.encode(into: base, salt: segment.header.salt, offset: offset)
            filled += head.payloadOffset
            if let payload, payloadCount > Self.copiedMax {
                parts.append(Slice(buffer: staging, offset: partStart, count: filled - partStart))
                parts.append(payload)
                partStart = filled
            } else if let payload {
                payload.withBytes { staging.storage[filled...].copyBytes(from: $0) }
                filled += payloadCount
            }
            let padding = head.length - head.payloadOffset - payloadCount
            for index in 0..<padding { staging.storage[filled + index] = 0 }
            filled += padding
            places.append(
                JournalAppended(
                    position: JournalPosition(segment: segment.number, offset: offset), sequence: head.sequence, length: head.length))
            offset += UInt64(head.length)
        }
        if filled > partStart { parts.append(Slice(buffer: staging, offset: partStart, count: filled - partStart)) }
        staging.count = filled
        return (parts, places)
    }

    /// Payloads up to this size are copied behind their header.
    private static let copiedMax = 32 << 10
    /// Zeros are written in steps of this size.
    static let zeroStep: UInt64 = 1 << 20

    /// Zeros and records must not be written to the same place at a time.
    private func waitForZeroing(until end: UInt64, in segment: Segment) async throws(JournalError) {
        while isZeroing && end > segment.zeroedTo { await zeroingEnds() }
        if let failure { throw failure }
        segment.zeroedTo = max(segment.zeroedTo, end)
    }

    func zeroingEnds() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            precondition(zeroingWaiter == nil, "only the writer waits for the zeros")
            zeroingWaiter = continuation
        }
    }

    /// Writes the next zeros in the background if the records come near the end of those before.
    private func zeroAhead(in segment: Segment) {
        guard options.zeroFill, !isZeroing, failure == nil, segment.zeroedTo < segment.header.capacity,
            segment.zeroedTo - segment.used < Self.zeroStep / 2
        else { return }
        isZeroing = true
        Task { @LoopActor in
            let start = segment.zeroedTo
            let count = min(Self.zeroStep, segment.header.capacity - start)
            do throws(JournalError) {
                do throws(DiskError) {
                    let file = try await zeroFile(of: segment)
                    try await file.write([Self.zeros(Int(count))], at: start, sync: true)
                    segment.zeroedTo = start + count
                    segment.fileBytes = max(segment.fileBytes, start + count)
                } catch {
                    // Room may still be found when records need it.
                    if error.code != .noSpace { throw JournalError(error) }
                }
            } catch {
                fail(error)
            }
            isZeroing = false
            zeroingWaiter?.resume()
            zeroingWaiter = nil
        }
    }

    /// Lost pages are told once to each opening of a file, by its next sync. If zeros and records shared one, the sync of the zeros could take that away from
    /// the sync of records at the same time, which then would count as durable.
    private func zeroFile(of segment: Segment) async throws(DiskError) -> any DiskFile {
        if let file = segment.zeroFile { return file }
        let file = try await environment.disk.open(segment.path, .existing)
        segment.zeroFile = file
        return file
    }

    static func zeros(_ count: Int) -> Slice {
        let buffer = BufferPool.shared.buffer(capacity: count)
        buffer.storage.initializeMemory(as: UInt8.self, repeating: 0)
        buffer.count = count
        return buffer.slice
    }
}
