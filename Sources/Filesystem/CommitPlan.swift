import Blocks
import Bytes
import Digest
import Glibc
import Namespace
import Runtime
import Telemetry

/// From a frozen layer to the edits of one update: inline content, joined runs, blocks put, extents.
extension DistributedFilesystem {
    /// Appended runs take extents before them along that are shorter than this, so that logs do not become chains of small extents.
    private static let smallExtent: UInt64 = 64 << 10

    /// The edits of the frozen layer; its blocks are stored when this returns. Empty where only attributes changed.
    func contentEdits(_ inode: CachedInode, _ dirty: DirtyFile) async throws(Errno) -> [Edit] {
        guard let layer = dirty.committing, let size = layer.size else { return [] }
        if case .unknown = inode.content, layer.cut > 0 {
            // Whether the leader keeps the content inline decides how it is changed.
            let (content, _, _) = try await loadContent(inode, 0..<1)
            if case .unknown = inode.content, case .inline(let bytes) = content {
                // Another question was overtaken; for this commit the answer holds, since nobody else may change the file.
                return try await edits(inode, dirty, over: .inline(bytes), size: size)
            }
        }
        return try await edits(inode, dirty, over: inode.content, size: size)
    }

    private func edits(_ inode: CachedInode, _ dirty: DirtyFile, over stored: StoredContent, size: UInt64) async throws(Errno) -> [Edit] {
        guard let layer = dirty.committing else { throw .io }
        var inline: [UInt8]?
        var startsOver = layer.cut == 0
        switch stored {
        case .inline(let bytes):
            inline = Array(bytes.prefix(Int(min(layer.cut, UInt64(bytes.count)))))
            startsOver = true
        case .extents(let map):
            if map.complete, map.count == 0 { startsOver = true }
        case .unknown:
            break
        }
        if startsOver {
            if size <= UInt64(Limits.inlineBytes), let bytes = inlineBytes(layer, over: inline ?? [], size: Int(size)) {
                return [.inline(bytes)]
            }
            if let inline { takeOver(inline, dirty) }
        }
        try await arrange(inode, dirty, over: startsOver ? .inline([]) : stored, size: size)
        try await putAll(dirty)
        guard let ready = dirty.committing else { throw .io }
        var edits: [Edit] = []
        if startsOver {
            edits.append(.truncate(0))
        } else if ready.cut < .max {
            edits.append(.truncate(ready.cut))
        }
        for piece in ready.pieces.pieces {
            switch piece.source {
            case .zero:
                if !startsOver { edits.append(.hole(offset: piece.offset, length: piece.length)) }
            case .memory(let block):
                guard let run = block.run, let place = block.place else { preconditionFailure("every block of a commit was put") }
                let blockOffset = UInt32(place.blockOffset) + UInt32(piece.offset - run.lowerBound)
                appendExtents(piece, key: place.key, blockLength: UInt32(place.blockLength), blockOffset: blockOffset, to: &edits)
            case .block(let key, let blockLength, let blockOffset):
                appendExtents(piece, key: key, blockLength: blockLength, blockOffset: blockOffset, to: &edits)
            }
        }
        edits.append(.truncate(size))
        return edits
    }

    /// One extent, or several where the piece crosses borders of regions.
    private func appendExtents(_ piece: Piece, key: BlockKey, blockLength: UInt32, blockOffset: UInt32, to edits: inout [Edit]) {
        var position = piece.offset
        while position < piece.end {
            let end = min(piece.end, (position / Limits.regionBytes + 1) * Limits.regionBytes)
            edits.append(
                .extent(
                    Extent(
                        offset: position, length: UInt32(end - position), key: key, blockLength: blockLength,
                        blockOffset: blockOffset + UInt32(position - piece.offset))))
            position = end
        }
    }

    /// The whole content of a small file; nil where some of it is in blocks.
    private func inlineBytes(_ layer: Layer, over stored: [UInt8], size: Int) -> [UInt8]? {
        var bytes = Array(stored.prefix(size))
        bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
        for piece in layer.pieces.pieces {
            switch piece.source {
            case .zero:
                for index in Int(piece.offset)..<Int(piece.end) { bytes[index] = 0 }
            case .memory(let block):
                block.slice(piece.range).withBytes { source in
                    bytes.withUnsafeMutableBytes { target in
                        UnsafeMutableRawBufferPointer(rebasing: target[Int(piece.offset)..<Int(piece.end)]).copyMemory(from: source)
                    }
                }
            case .block:
                return nil
            }
        }
        return bytes
    }

    /// Bytes that were inline and are still seen become pieces like those written.
    private func takeOver(_ inline: [UInt8], _ dirty: DirtyFile) {
        guard !inline.isEmpty, let layer = dirty.committing else { return }
        var gaps: [Range<UInt64>] = []
        layer.pieces.visit(0..<UInt64(inline.count)) { range, piece in if piece == nil { gaps.append(range) } }
        for gap in gaps {
            let block = DirtyBlock(start: gap.lowerBound, capacity: gap.count, meter: meter)
            inline.withUnsafeBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[Int(gap.lowerBound)..<Int(gap.upperBound)])
                block.store(part, at: gap.lowerBound, capacityMax: gap.count)
            }
            dirty.committing?.substitute(Piece(offset: gap.lowerBound, length: UInt64(gap.count), source: .memory(block)))
        }
    }

    // MARK: Runs

    /// Freezes open blocks: adjacent bytes of one block range become one run; short extents before an appended run join it; regions with
    /// too many
    /// extents get whole blocks.
    private func arrange(_ inode: CachedInode, _ dirty: DirtyFile, over stored: StoredContent, size: UInt64) async throws(Errno) {
        for run in openRuns(dirty) {
            var start = run.lowerBound
            if case .extents(let map) = stored { start = joinedStart(run, dirty, map, storedSize: inode.stored?.size ?? 0) }
            if start < run.lowerBound, let before = resolve(stored, under: [], start..<run.lowerBound) {
                let buffer = try await assemble(before, of: inode, capacity: Int(run.upperBound - start))
                guard dirty.committing != nil else { throw .io }
                freeze(dirty, run, into: buffer, start: start)
            } else {
                freeze(dirty, run, into: nil, start: run.lowerBound)
            }
        }
        try await compact(inode, dirty, size: size)
    }

    /// Maximal runs of open memory, cut at borders of block ranges.
    private func openRuns(_ dirty: DirtyFile) -> [Range<UInt64>] {
        let blockSize = UInt64(options.blockSize)
        var runs: [Range<UInt64>] = []
        for piece in dirty.committing?.pieces.pieces ?? [] {
            guard case .memory(let block) = piece.source, block.isOpen else { continue }
            if let last = runs.last, last.upperBound == piece.offset, last.lowerBound / blockSize == piece.offset / blockSize {
                runs[runs.count - 1] = last.lowerBound..<piece.end
            } else {
                runs.append(piece.range)
            }
        }
        return runs
    }

    /// From where on stored bytes before a run are rewritten together with it. Each extent taken is at most twice as long as what it
    /// joins, so that
    /// every byte of a log is rewritten a few times at most, whatever the size of its appends.
    private func joinedStart(_ run: Range<UInt64>, _ dirty: DirtyFile, _ map: ExtentMap, storedSize: UInt64) -> UInt64 {
        guard let layer = dirty.committing else { return run.lowerBound }
        let blockSize = UInt64(options.blockSize)
        var lower = run.lowerBound / blockSize * blockSize
        if lower < run.lowerBound, let before = layer.pieces.lastEnd(atOrBefore: run.lowerBound) { lower = max(lower, before) }
        guard lower < run.lowerBound, layer.cut >= run.lowerBound, map.isKnown(lower..<run.lowerBound) else { return run.lowerBound }
        // Elsewhere joining would read whole blocks to save an extent.
        guard run.lowerBound >= storedSize else { return run.lowerBound }
        let fillsBlock = run.upperBound % blockSize == 0
        var start = run.lowerBound
        for extent in map.extents(in: lower..<run.lowerBound).reversed() {
            guard extent.end == start else { break }
            let isSmall = UInt64(extent.length) <= max(Self.smallExtent, 2 * (run.upperBound - start))
            guard fillsBlock || isSmall else { break }
            start = extent.offset
        }
        return start
    }

    /// Makes the memory of `run` one frozen piece from `start` on. `buffer` holds the bytes before the run already.
    private func freeze(_ dirty: DirtyFile, _ run: Range<UInt64>, into buffer: Buffer?, start: UInt64) {
        guard let layer = dirty.committing else { return }
        var parts: [Piece] = []
        layer.pieces.visit(run) { _, piece in if let piece { parts.append(piece) } }
        if buffer == nil, parts.count == 1, case .memory(let block)? = parts.first?.source, isOnlyPiece(of: block, layer) {
            block.freeze(run)
            return
        }
        // A block with several runs keeps its buffer to itself: should the commit fail, what is still open goes on changing.
        let target = buffer ?? BufferPool.shared.buffer(capacity: run.count)
        for part in parts {
            guard case .memory(let block) = part.source else { continue }
            memcpy(target.base + Int(part.offset - start), block.buffer.base + Int(part.offset - block.start), Int(part.length))
        }
        let whole = start..<run.upperBound
        let block = DirtyBlock(frozen: target, start: start, run: whole, meter: meter)
        dirty.committing?.substitute(Piece(offset: whole.lowerBound, length: UInt64(whole.count), source: .memory(block)))
    }

    private func isOnlyPiece(of block: DirtyBlock, _ layer: Layer) -> Bool {
        let blockSize = UInt64(options.blockSize)
        let blockStart = block.start / blockSize * blockSize
        var count = 0
        layer.pieces.visit(blockStart..<blockStart + blockSize) { _, piece in
            if case .memory(let found)? = piece?.source, found === block { count += 1 }
        }
        return count == 1
    }

    // MARK: Compaction

    /// Rewrites blocks of regions that would get too many extents.
    private func compact(_ inode: CachedInode, _ dirty: DirtyFile, size: UInt64) async throws(Errno) {
        guard let layer = dirty.committing else { throw .io }
        let blockSize = UInt64(options.blockSize)
        var regions: Set<UInt64> = []
        for piece in layer.pieces.pieces {
            for region in ExtentMap.regions(of: piece.range) { regions.insert(region) }
        }
        for region in regions.sorted() {
            let range = region * Limits.regionBytes..<min(size, (region + 1) * Limits.regionBytes)
            guard !range.isEmpty else { continue }
            if !inode.content.isKnown(range), inode.recall == nil { _ = try await loadContent(inode, range) }
            guard let frozen = dirty.committing else { throw .io }
            guard inode.content.isKnown(range) else { continue }
            // Counts extents by block range: an extent counts where it begins.
            var counts: [UInt64: Int] = [:]
            var position = range.lowerBound
            for fragment in resolve(inode.content, under: [frozen], range) ?? [] {
                if case .zero = fragment {} else { counts[position / blockSize, default: 0] += 1 }
                position += UInt64(fragment.count)
            }
            var total = counts.values.reduce(0, +)
            // Even whole blocks need one extent each.
            let extentsMax = max(options.extentsPerRegion, 2 * counts.count)
            guard total > extentsMax else { continue }
            let fullestFirst = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            for (index, count) in fullestFirst where count > 1 && total > extentsMax * 3 / 4 {
                let block = index * blockSize..<min(size, (index + 1) * blockSize)
                try await rewrite(inode, dirty, block)
                total -= count - 1
            }
        }
    }

    /// Replaces everything from the first to the last byte of data in a block range by one run.
    private func rewrite(_ inode: CachedInode, _ dirty: DirtyFile, _ range: Range<UInt64>) async throws(Errno) {
        guard let frozen = dirty.committing else { throw .io }
        guard var fragments = resolve(inode.content, under: [frozen], range) else { return }
        var lower = range.lowerBound
        while case .zero(let count)? = fragments.first {
            lower += UInt64(count)
            fragments.removeFirst()
        }
        while case .zero? = fragments.last { fragments.removeLast() }
        let length = fragments.reduce(0) { $0 + $1.count }
        guard length > 0 else { return }
        let buffer = try await assemble(fragments, of: inode, capacity: length)
        guard dirty.committing != nil else { throw .io }
        let run = lower..<(lower + UInt64(length))
        let block = DirtyBlock(frozen: buffer, start: lower, run: run, meter: meter)
        dirty.committing?.substitute(Piece(offset: lower, length: UInt64(length), source: .memory(block)))
    }

    // MARK: Puts

    /// Runs shorter than this share blocks with the other short runs of their commit.
    private static let packedRunMax = 64 << 10

    /// Stores every run of the frozen layer, in parallel. Short runs, as random writes leave them, go together into blocks: storing a thousand blocks of 4 KiB
    /// would cost a thousand times what storing four full ones does.
    private func putAll(_ dirty: DirtyFile) async throws(Errno) {
        var waiting: [DirtyBlock] = []
        var seen: Set<ObjectIdentifier> = []
        for piece in dirty.committing?.pieces.pieces ?? [] {
            guard case .memory(let block) = piece.source, block.key == nil, seen.insert(ObjectIdentifier(block)).inserted else { continue }
            waiting.append(block)
        }
        guard !waiting.isEmpty else { return }
        let short = waiting.filter { $0.content.count < Self.packedRunMax && !$0.isPutting }
        var groups: [[DirtyBlock]] = waiting.filter { $0.content.count >= Self.packedRunMax || $0.isPutting }.map { [$0] }
        var bytes = Int.max
        for block in short {
            if bytes > options.blockSize - block.content.count {
                groups.append([])
                bytes = 0
            }
            groups[groups.count - 1].append(block)
            bytes += block.content.count
        }
        let failures = await concurrently(groups) { [self] group in
            group.count == 1 ? await failureOfPut(group[0]) : await failureOfPack(group)
        }
        let failure = failures.lazy.compactMap { $0 }.first
        guard let failure else {
            spaceFailedAt = nil
            return
        }
        if failure.code == .noSpace { spaceFailedAt = clock.now }
        log.warning("cannot store a block: \(failure)")
        throw Errno(failure)
    }

    /// Stores the runs of several blocks as one.
    private func failureOfPack(_ group: [DirtyBlock]) async -> BlocksError? {
        let buffer = BufferPool.shared.buffer(capacity: group.reduce(0) { $0 + $1.content.count })
        var offsets: [Int] = []
        for block in group {
            offsets.append(buffer.count)
            let at = buffer.base + buffer.count
            block.content.withBytes { bytes in if let source = bytes.baseAddress { memcpy(at, source, bytes.count) } }
            buffer.count += block.content.count
        }
        let pack = buffer.slice
        await putSlots.take()
        defer { putSlots.give() }
        do throws(BlocksError) {
            let key = try await blocks.put(pack)
            for (block, offset) in zip(group, offsets) {
                block.noteStored(DirtyBlock.Place(key: key, blockLength: pack.count, blockOffset: offset, pack: pack))
            }
            return nil
        } catch { return error }
    }

    private func failureOfPut(_ block: DirtyBlock) async -> BlocksError? {
        do {
            _ = try await block.put(through: blocks, slots: putSlots)
            return nil
        } catch {
            return error
        }
    }
}

extension PieceMap {
    /// The end of the last piece that ends at or before `offset`.
    func lastEnd(atOrBefore offset: UInt64) -> UInt64? {
        let index = firstIndex(endingAfter: offset)
        return index > 0 ? pieces[index - 1].end : nil
    }
}
