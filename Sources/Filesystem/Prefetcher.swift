import Metadata
import Model
import Namespace
import Runtime

/// Reading ahead of sequential readers.
extension DistributedFilesystem {
    private static let windowMin = 1 << 20
    /// How far out of order the requests of one sequential reader may come (several kernel threads send them).
    private static let disorder: UInt64 = 4 << 20

    /// Notes a read of a handle; whether it goes on from the ones before.
    func noteRead(_ file: FileHandle, offset: UInt64, count: Int, size: UInt64) -> Bool {
        let end = min(size, offset + UInt64(count))
        let isNear = offset <= file.nextRead + Self.disorder && offset + Self.disorder >= file.nextRead
        // A reader that is known to be sequential may come out of order; a new one must begin where the last read ended.
        let goesOn = file.window > 0 ? isNear : offset == file.nextRead
        guard goesOn else {
            file.window = 0
            file.nextRead = end
            file.prefetched = 0
            return false
        }
        if end > file.nextRead || file.window == 0 {
            file.nextRead = max(end, file.nextRead)
            let limit = min(options.prefetchBytes, options.cacheBytes / 4)
            // The first read from the start may be all there is: it opens no window yet if it does not fill one.
            file.window = file.window == 0 ? min(Self.windowMin, limit) : min(file.window * 2, limit)
        }
        return true
    }

    /// Asks for the blocks in the window ahead, each once.
    func prefetch(_ file: FileHandle, size: UInt64) {
        let inode = file.inode
        let from = max(file.nextRead, file.prefetched)
        let to = min(size, file.nextRead + UInt64(file.window))
        // Asked for in steps, so that not every small read walks the extents.
        guard from < to, to == size || to - from >= UInt64(min(file.window / 4, options.blockSize)) else { return }
        guard blockCache.fetchingBytes < options.cacheBytes / 4 else { return }
        guard let fragments = resolve(inode, from..<to) else {
            file.prefetched = to
            Task { @LoopActor [self] in
                // Only a question ahead of time: the read itself reports what is wrong.
                _ = try? await loadContent(inode, from..<to)
                file.prefetched = min(file.prefetched, from)
            }
            return
        }
        file.prefetched = to
        prefetch(fragments)
    }

    // MARK: Small files

    /// Bytes of a file whose blocks are asked for when one before it is opened.
    private static let smallFile: UInt64 = 256 << 10

    /// A file is opened to be read: perhaps those behind it in its directory are wanted next.
    func noteOpened(_ inode: CachedInode) {
        guard let (id, name) = inode.foundAs, let stored = inode.stored, stored.size > 0, let directory = table.existing(id),
            metadata.holdsLease(id), directory.directory != nil
        else { return }
        let isKnown = if case .unknown = inode.content { false } else { true }
        guard let (after, next) = directory.directory?.contents.noteOpen(name, inode.id, isKnown: isKnown) else { return }
        if let after { readContents(directory, after: after) }
        for id in next { prefetch(id) }
    }

    private func readContents(_ directory: CachedInode, after: Name) {
        let event = AsyncEvent()
        directory.directory?.contents.begin(event)
        directory.pins += 1
        Task { @LoopActor [self] in
            let listing = try? await list(directory, first: 0, after: after, limit: ContentReadAhead.files, detail: .contents)
            let page = listing?.page
            directory.directory?.contents.end(
                page?.entries.filter { $0.content != nil }.map(\.inode) ?? [], last: page?.entries.last?.name, isAtEnd: page?.isLast ?? true)
            directory.pins -= 1
            event.happen()
            trim()
        }
    }

    /// Waits for a reading ahead of contents that may bring this one's.
    func contentArrives(_ inode: CachedInode) async {
        guard let id = inode.foundAs?.directory, let event = table.existing(id)?.directory?.contents.underWay else { return }
        await event.wait()
    }

    /// Asks for the blocks of a small file.
    private func prefetch(_ id: InodeID) {
        guard let inode = table.existing(id), let attributes = cachedAttributes(inode), attributes.size <= Self.smallFile,
            blockCache.fetchingBytes < options.cacheBytes / 4, let fragments = resolve(inode, 0..<attributes.size)
        else { return }
        prefetch(fragments)
    }

    private func prefetch(_ fragments: [Fragment]) {
        for fragment in fragments {
            guard case .block(let key, let length, _, _) = fragment, !blockCache.isCachedOrFetching(key) else { continue }
            Task { @LoopActor [self] in _ = try? await blockCache.whole(key, length: length) }
        }
    }
}
