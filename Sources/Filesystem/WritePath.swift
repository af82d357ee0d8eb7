import Blocks
package import Bytes
import Digest
import Glibc
import Metadata
package import Model
import Namespace
import Runtime

/// Writing: changes under an exclusive lease, kept here until they are committed.
extension DistributedFilesystem {
    package func write(_ id: InodeID, handle: UInt64, offset: UInt64, _ content: Slice) async throws(Errno) -> Int {
        let file = try file(handle, id)
        let inode = file.inode
        guard file.flags & O_ACCMODE != O_RDONLY else { throw .badDescriptor }
        guard !content.isEmpty else { return 0 }
        transferBegins(inode)
        defer { transferEnds(inode) }
        // As they were when this write came: a page of a mapping that is written meanwhile comes through the same handle without flags.
        let appends = file.appends
        let isSynchronous = file.isSynchronous || file.writeFlags & O_DSYNC != 0
        guard offset <= Limits.fileBytes, offset + UInt64(content.count) <= Limits.fileBytes else { throw .fileTooLarge }
        try await room(for: content.count)
        // Whatever becomes of this write, the next writer in line has its turn.
        defer { if !roomWaiters.isEmpty { wakeWriters(nil) } }
        while true {
            let attributes = try await exclusive(inode)
            try file.checkLocks()
            #if CANARIES
                if Canary.appendsAtStaleEnd.isActive, appends { await clock.sleep(nanoseconds: 200 * Nanoseconds.millisecond) }
            #endif
            let position = appends ? attributes.size : offset
            guard position + UInt64(content.count) <= Limits.fileBytes else { throw .fileTooLarge }
            if needsCommit(inode) {
                try await commit(inode)
                continue
            }
            store(inode, content, at: position, size: attributes.size)
            file.mayHavePrivileges = attributes.mode & 0o6000 != 0 || attributes.xattrs > 0
            break
        }
        if isSynchronous { try await sync(file) }
        return content.count
    }

    /// Gets an exclusive lease if there is none, and the attributes. After it returned, until the next suspension, the inode may be
    /// changed.
    func exclusive(_ inode: CachedInode) async throws(Errno) -> Attributes {
        inode.pins += 1
        defer { inode.pins -= 1 }
        while true {
            table.touch(inode)
            if let recall = inode.recall {
                await recall.wait()
                continue
            }
            await settle(inode)
            if metadata.holdsExclusive(inode.id), let attributes = cachedAttributes(inode) { return attributes }
            await known(inode)
            let granted: Attributes
            do { granted = try await metadata.acquireExclusive(inode.id) } catch { throw Errno(error) }
            // A lease that is held now was granted with these attributes, after any recall that was answered while the question was under way. To ask
            // again because of such a recall would let two writers take the lease from each other for ever, and neither write.
            guard inode.recall == nil, metadata.holdsExclusive(inode.id) else { continue }
            if let stored = inode.stored, stored.version >= granted.version { continue }
            guard granted.version >= inode.acknowledged else { continue }
            if inode.stored != nil { noteChange(inode) }
            inode.stored = granted
        }
    }

    /// Whether a layer has become so long that it must be committed before more goes in.
    func needsCommit(_ inode: CachedInode) -> Bool { (inode.dirty?.pending.pieces.count ?? 0) > 1000 }

    /// The inode's local changes, about to get one more.
    func dirtying(_ inode: CachedInode) -> DirtyFile {
        let dirty = inode.dirty ?? DirtyFile()
        inode.dirty = dirty
        dirty.noteChange(now: clock.now)
        dirtyInodes[inode.id] = inode
        scheduleFlush()
        return dirty
    }

    /// Stamps a change of content.
    private func touchTimes(_ dirty: DirtyFile) {
        let now = clock.wallTime
        dirty.pending.attributes.modified = now
        dirty.pending.attributes.changed = now
    }

    /// Takes bytes in. The caller holds an exclusive lease.
    private func store(_ inode: CachedInode, _ content: Slice, at offset: UInt64, size: UInt64) {
        let blockSize = UInt64(options.blockSize)
        var position = offset
        let end = offset + UInt64(content.count)
        while position < end {
            let dirty = dirtying(inode)
            let blockStart = position / blockSize * blockSize
            let partEnd = min(end, blockStart + blockSize)
            let block: DirtyBlock
            if content.offset == 0, content.count == options.blockSize, content.buffer.capacity == content.count, position == offset, position == blockStart {
                // A whole block in a buffer of its own is not copied.
                block = DirtyBlock(adopting: content.buffer, start: position, meter: meter)
            } else {
                block = openBlock(dirty, at: position, blockStart: blockStart, count: Int(partEnd - position))
                content.withBytes { bytes in
                    let part = UnsafeRawBufferPointer(rebasing: bytes[Int(position - offset)..<Int(partEnd - offset)])
                    block.store(part, at: position, capacityMax: Int(blockStart + blockSize - block.start))
                }
            }
            dirty.pending.write(
                Piece(offset: position, length: partEnd - position, source: .memory(block)), over: inode.effectiveSize(size))
            dirty.pending.written += Int(partEnd - position)
            touchTimes(dirty)
            if block.start == blockStart, partEnd == blockStart + blockSize { startPut(inode, dirty, block, blockStart..<partEnd) }
            position = partEnd
        }
    }

    /// The open block that holds or ends at a position, if it is of the same range; else a new one.
    private func openBlock(_ dirty: DirtyFile, at position: UInt64, blockStart: UInt64, count: Int) -> DirtyBlock {
        for place in [position, position &- 1] where place >= blockStart {
            guard let piece = dirty.pending.pieces.piece(at: place), case .memory(let block) = piece.source, block.isOpen,
                block.start >= blockStart, block.start <= position
            else { continue }
            return block
        }
        return DirtyBlock(start: position, capacity: count, meter: meter)
    }

    /// A block that is full goes out at once, if it was filled from one end to the other; a file with much uncommitted data is committed
    /// then too.
    private func startPut(_ inode: CachedInode, _ dirty: DirtyFile, _ block: DirtyBlock, _ range: Range<UInt64>) {
        guard let piece = dirty.pending.pieces.piece(at: range.lowerBound), case .memory(let found) = piece.source, found === block,
            piece.offset == range.lowerBound, piece.end >= range.upperBound
        else { return }
        block.freeze(range)
        Task { @LoopActor [self] in await putAhead(block) }
        if dirty.pending.written >= options.checkpointBytes, dirty.committing == nil { commitSoon(inode) }
    }

    private func putAhead(_ block: DirtyBlock) async {
        do throws(BlocksError) {
            _ = try await block.put(through: blocks, slots: putSlots)
            spaceFailedAt = nil
        } catch {
            // The commit tries again and reports.
            if error.code == .noSpace { spaceFailedAt = clock.now }
        }
    }

    // MARK: Size and ranges

    /// Sets the size. Bytes past it are gone, bytes up to it are zero.
    func truncate(_ inode: CachedInode, to size: UInt64, through file: FileHandle? = nil) async throws(Errno) {
        guard size <= Limits.fileBytes else { throw .fileTooLarge }
        let attributes = try await exclusive(inode)
        try file?.checkLocks()
        guard attributes.kind == .file else { throw attributes.kind == .directory ? .isDirectory : .invalid }
        let dirty = dirtying(inode)
        if size < attributes.size {
            dirty.pending.truncate(to: size)
        } else {
            dirty.pending.extend(to: size, over: attributes.size)
        }
        touchTimes(dirty)
        wakeWriters(nil)
    }

    /// Puts pieces of other files' blocks, or holes, in place. Pieces past the end make the file longer.
    func place(_ inode: CachedInode, _ pieces: [Piece], size: UInt64) {
        let dirty = dirtying(inode)
        for piece in pieces {
            dirty.pending.write(piece, over: inode.effectiveSize(size))
            if case .zero = piece.source {} else { dirty.pending.written += Int(piece.length) }
        }
        touchTimes(dirty)
    }

    /// fallocate(2). Blocks named by their content cannot be reserved, so mode 0 only makes the file longer.
    package func allocate(_ id: InodeID, handle: UInt64, mode: Int32, offset: UInt64, length: UInt64) async throws(Errno) {
        let file = try file(handle, id)
        let inode = file.inode
        guard length > 0 else { throw .invalid }
        guard offset <= Limits.fileBytes, length <= Limits.fileBytes - offset else { throw .fileTooLarge }
        let keepSize: Int32 = 0x01
        let punchHole: Int32 = 0x02
        let zeroRange: Int32 = 0x10
        switch mode {
        case 0, keepSize:
            let space = await capacity()
            guard length <= space.available else { throw .noSpace }
            let attributes = try await exclusive(inode)
            try file.checkLocks()
            let dirty = dirtying(inode)
            if mode == 0, offset + length > attributes.size { dirty.pending.extend(to: offset + length, over: attributes.size) }
            touchTimes(dirty)
        case punchHole | keepSize, zeroRange, zeroRange | keepSize:
            while true {
                let attributes = try await exclusive(inode)
                try file.checkLocks()
                if needsCommit(inode) {
                    try await commit(inode)
                    continue
                }
                var end = offset + length
                if mode & keepSize != 0 { end = min(end, attributes.size) }
                guard offset < end else {
                    // Nothing is there to be zeroed; the times change nevertheless, as on local filesystems.
                    touchTimes(dirtying(inode))
                    break
                }
                place(inode, [Piece(offset: offset, length: end - offset, source: .zero)], size: attributes.size)
                break
            }
        default:
            throw .notSupported
        }
        if file.isSynchronous { try await sync(file) }
    }

    // MARK: Room

    /// Waits until `count` more bytes of dirty data fit. ENOSPC if the cluster had no room a moment ago.
    private func room(for count: Int) async throws(Errno) {
        if let failed = spaceFailedAt, clock.now - failed < Nanoseconds.second { throw .noSpace }
        guard !roomWaiters.isEmpty || !fits(count) else { return }
        relievePressure()
        let error: Errno? = await withUnsafeContinuation { roomWaiters.append((count, $0)) }
        if let error { throw error }
    }

    /// A single write over the limit is let through when nothing else is dirty.
    private func fits(_ count: Int) -> Bool { meter.bytes == 0 || meter.bytes + count <= options.dirtyBytes }

    /// Lets the writer who waits longest go on if there is room; it wakes the next when its bytes are in. `error`: a commit failed, and
    /// all who
    /// wait for room are told.
    func wakeWriters(_ error: Errno?) {
        blockCache.trim()
        guard let first = roomWaiters.first else { return }
        if fits(first.count) {
            roomWaiters.removeFirst()
            first.continuation.resume(returning: nil)
        } else if let error {
            let waiting = roomWaiters
            roomWaiters = []
            for waiter in waiting { waiter.continuation.resume(returning: error) }
        } else {
            relievePressure()
        }
    }
}

extension CachedInode {
    /// The size with local changes, where `stored` is the size they began from.
    func effectiveSize(_ stored: UInt64) -> UInt64 { dirty?.pending.size ?? dirty?.committing?.size ?? stored }
}
