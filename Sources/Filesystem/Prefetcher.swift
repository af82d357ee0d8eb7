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
            let listing = try? await list(directory, after: after, limit: ContentReadAhead.files, detail: .contents)
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
        guard let event = above(inode)?.directory?.contents.underWay else { return }
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

    // MARK: Directories

    /// Names of a directory that are asked for before they are wanted: no more pages if there are so many.
    private static let namesAhead = 1024

    /// A directory is read from its start: perhaps those behind it are wanted next, and those within it.
    func noteRead(_ inode: CachedInode, isKnown: Bool) {
        guard let (id, name) = inode.foundAs, let parent = table.existing(id), metadata.holdsLease(id) else { return }
        let before = parent.directory?.listings.read
        if let before, let probe = table.existing(before.inode)?.directory?.probe, probe.name != nil {
            parent.directory?.listings.noteProbe(isUsed: probe.isUsed)
            table.existing(before.inode)?.directory?.probe = nil
        }
        if parent.directory?.listings.noteRead(name, inode.id, isKnown: isKnown) == true { beginListing(parent, after: name) }
        listNext(in: parent)
        guard let before, before.inode != inode.id, let last = table.existing(before.inode)?.directory?.listings else { return }
        if last.read != nil {
            parent.directory?.listings.descends = true
        } else if last.serves == false {
            parent.directory?.listings.descends = false
        }
        guard parent.directory?.listings.descends == true, let own = inode.directory?.listings, own.read == nil, own.serves == nil else { return }
        inode.directory?.listings.learn(from: last)
        beginListing(inode, after: nil)
        listNext(in: inode)
    }

    private func beginListing(_ parent: CachedInode, after name: Name?) {
        guard let directories = parent.directory?.directories(after: name) else { return }
        parent.directory?.listings.begin(directories)
    }

    private func listNext(in parent: CachedInode) {
        for id in parent.directory?.listings.next() ?? [] {
            let child = table.obtain(id)
            if child.directory?.isComplete != true { readAhead(child, behind: nil, detail: parent.directory?.listings.detail ?? .attributes) }
        }
    }

    /// What the first page of a directory is listed with, if attributes are wished.
    func firstDetail(_ inode: CachedInode) -> ListDetail {
        above(inode)?.directory?.listings.detail ?? .attributes
    }

    /// Chooses what of a first page is shown without attributes.
    func probe(_ inode: CachedInode, _ page: DirectoryHandle.Page) -> Name? {
        if page.detail == .directories {
            inode.directory?.probe = (nil, false)
            return nil
        }
        guard above(inode)?.directory?.listings.probes == true else { return nil }
        // The kernel does not ask for what it knows.
        let chosen = page.entries.first { $0.kind != .directory && table.existing($0.inode)?.lookups ?? 0 == 0 }
        inode.directory?.probe = chosen.map { ($0.name, false) }
        return chosen?.name
    }

    /// A name that exists is asked for.
    func noteLookup(_ directory: CachedInode, _ name: Name, _ kind: FileKind) {
        guard kind != .directory, let probe = directory.directory?.probe, !probe.isUsed, probe.name == nil || probe.name == name else { return }
        directory.directory?.probe?.isUsed = true
        if probe.name == nil { above(directory)?.directory?.listings.noteWanted() }
    }

    /// Asks for the page behind one (nil: the first) before it is wanted, or for the one behind those that were asked for.
    func readAhead(_ inode: CachedInode, behind page: DirectoryHandle.Page?, detail: ListDetail) {
        let before = inode.directory?.pagesAhead.last ?? page
        guard before?.isLast != true, inode.directory?.namesAhead ?? 0 < Self.namesAhead, listingsUnderWay[inode.id] == nil,
            inode.pendingChanges == 0
        else { return }
        let event = AsyncEvent()
        listingsUnderWay[inode.id] = event
        inode.pins += 1
        Task { @LoopActor [self] in
            let page = try? await fetch(inode, behind: before, after: before?.entries.last?.name, detail: detail)
            inode.pins -= 1
            listingsUnderWay[inode.id] = nil
            if let page, isCurrent(page, of: inode), inode.directory != nil {
                inode.directory?.pagesAhead.append(page)
                table.recount(inode)
                readAhead(inode, behind: page, detail: laterDetail)
            }
            event.happen()
            trim()
        }
    }

    /// Whether a page that was read under the lease still says what is there.
    private func isCurrent(_ page: DirectoryHandle.Page, of inode: CachedInode) -> Bool {
        inode.changedAt <= page.mark && inode.recall == nil && inode.pendingChanges == 0 && page.leased.contains(inode.id) && metadata.holdsLease(inode.id)
    }

    /// Forgets what was read ahead of a directory's own entries.
    func dropAhead(_ inode: CachedInode) {
        inode.directory?.pagesAhead = []
        table.recount(inode)
    }

    /// The page behind a name (nil: the first) if it was asked for ahead of time.
    func takeAhead(_ inode: CachedInode, after: Name?, detail: ListDetail) async -> DirectoryHandle.Page? {
        while inode.directory?.pagesAhead.first?.after != after, let event = listingsUnderWay[inode.id] { await event.wait() }
        guard var page = inode.directory?.pagesAhead.first else { return nil }
        guard page.after == after, isCurrent(page, of: inode), page.detail >= detail else {
            dropAhead(inode)
            return nil
        }
        inode.directory?.pagesAhead.removeFirst()
        table.recount(inode)
        // What was put out of the table meanwhile may have changed.
        page.leased = page.leased.filter { table.existing($0) != nil }
        return page
    }
}
