import Metadata
package import Model
import Namespace
import Runtime

/// Reading directories.
extension DistributedFilesystem {
    private static let pageEntries = 1024
    /// The kernel wishes attributes with the first entries of every directory, and with others only if it used those (FUSE_READDIRPLUS_AUTO): attributes
    /// of all would cost a reader of names four times what the names do.
    private static let firstPageEntries = 128
    /// Directories with more names are not read as a whole for the sake of changes.
    private static let readAllMax: UInt64 = 8192

    package func openDirectory(_ id: InodeID) async throws(Errno) -> UInt64 {
        let inode = table.obtain(id)
        inode.pins += 1
        defer { inode.pins -= 1 }
        let attributes = try await currentAttributes(inode)
        guard attributes.kind == .directory else { throw .notDirectory }
        let handle = newHandle(inode)
        directories[handle] = DirectoryHandle(inode: inode)
        return handle
    }

    package func releaseDirectory(_ id: InodeID, handle: UInt64) async {
        guard let directory = directories[handle], directory.inode.id == id else { return }
        directories[handle] = nil
        dropAhead(directory.inode)
        closed(directory.inode)
    }

    package func readDirectory(_ id: InodeID, handle: UInt64, position: UInt64, plus: Bool) async throws(Errno) -> [DirectoryItem] {
        guard let directory = directories[handle], directory.inode.id == id else { throw .badDescriptor }
        var items: [DirectoryItem] = []
        directory.answeredAt = nil
        if position == 0 { directory.restart() }
        if position <= 1 {
            let attributes = try await currentAttributes(directory.inode)
            if position == 0 { items.append(DirectoryItem(name: [0x2E], inode: id, kind: .directory, next: 1, entry: nil)) }
            let parent = attributes.parent.rawValue == 0 ? id : attributes.parent
            items.append(DirectoryItem(name: [0x2E, 0x2E], inode: parent, kind: .directory, next: 2, entry: nil))
        }
        if directory.borders.isEmpty { directory.restart() }
        guard let page = try await page(directory, at: max(position, 2), plus: plus) else { return items }
        let skipped = Int(max(position, 2) - page.first)
        for (index, entry) in page.entries.enumerated().dropFirst(skipped) {
            let reply = plus && entry.name != page.probe ? self.reply(directory.inode, entry, page) : nil
            items.append(
                DirectoryItem(
                    name: entry.name.bytes, inode: entry.inode, kind: entry.kind, next: page.first + UInt64(index) + 1, entry: reply))
        }
        if items.contains(where: { $0.entry.map { $0.entryValidity > 0 } ?? false }) { directory.answeredAt = clock.now }
        trim()
        return items
    }

    /// The entry with attributes, where they are sure: a lease came with them.
    private func reply(_ directory: CachedInode, _ entry: DirectoryEntry, _ page: DirectoryHandle.Page) -> EntryReply? {
        let attributes: Attributes
        if let child = table.existing(entry.inode), let cached = cachedAttributes(child) {
            attributes = cached
        } else if page.leased.contains(entry.inode), metadata.holdsLease(entry.inode), let listed = entry.attributes,
            table.existing(entry.inode) == nil
        {
            // Put out of the table since it was listed, with its lease held on: still right.
            attributes = listed
        } else {
            return nil
        }
        let child = table.obtain(entry.inode)
        child.foundAs = (directory.id, entry.name)
        return EntryReply(
            attributes: attributes, attributesValidity: attributeValidity(child, of: attributes),
            entryValidity: entryValidity(directory, entry.name, entry.inode, since: page.mark))
    }

    /// The page that holds a position, read now if it is not at hand; nil past the end.
    private func page(_ directory: DirectoryHandle, at position: UInt64, plus: Bool) async throws(Errno) -> DirectoryHandle.Page? {
        while true {
            if let page = directory.pages.first(where: { position >= $0.first && position < $0.end }) { return page }
            if let last = directory.pages.last, last.isLast, position >= last.end { return nil }
            // The page begins at the last border at or before the position.
            guard let index = directory.borders.lastIndex(where: { $0.first <= position }) else { return nil }
            var border = directory.borders[index]
            if let last = directory.pages.last, last.first == border.first, position >= last.end {
                border = (first: last.end, after: last.entries.last?.name ?? border.after)
                directory.borders.append(border)
            }
            let page = try await readPage(directory, border, plus: plus)
            directory.pages.removeAll { $0.first >= page.first }
            directory.pages.append(page)
            if directory.pages.count > 2 { directory.pages.removeFirst() }
            if page.entries.isEmpty { return nil }
            if position >= page.end, page.isLast { return nil }
        }
    }

    private func readPage(
        _ directory: DirectoryHandle, _ border: (first: UInt64, after: Name?), plus: Bool
    ) async throws(Errno) -> DirectoryHandle.Page {
        let inode = directory.inode
        if border.after != nil { laterDetail = plus ? .attributes : .nothing }
        var detail = plus ? ListDetail.attributes : .nothing
        if border.after == nil, plus { detail = firstDetail(inode) }
        var known = await takeAhead(inode, after: border.after, detail: detail)
        if border.after == nil {
            if known == nil { known = cachedListing(inode, detail) }
            noteRead(inode, isKnown: known != nil)
        }
        var page: DirectoryHandle.Page
        if let known {
            page = known
        } else {
            let before = directory.pages.first { $0.end == border.first }
            page = try await fetch(inode, behind: before, after: border.after, detail: detail)
        }
        page.first = border.first
        if border.after == nil, plus { page.probe = probe(inode, page) }
        if page.leased.contains(inode.id) { readAhead(inode, behind: page, detail: laterDetail) }
        return page
    }

    /// Asks for a page and notes what it says.
    /// - Parameters:
    ///   - before: the page before it, if that is at hand.
    ///   - after: the name before it; nil: it is the first.
    func fetch(
        _ inode: CachedInode, behind before: DirectoryHandle.Page?, after: Name?, detail: ListDetail
    ) async throws(Errno) -> DirectoryHandle.Page {
        await settle(inode)
        let start = after == nil ? mark : before?.fedSince
        let limit = after == nil && detail == .attributes ? Self.firstPageEntries : Self.pageEntries
        var (page, mayFeed) = try await list(inode, after: after, limit: limit, detail: detail)
        guard mayFeed else { return page }
        let isUnchanged = after == nil || start.map { inode.changedAt <= $0 } ?? false
        if feed(inode, page.entries, completes: page.isLast && isUnchanged, mayForget: false), isUnchanged { page.fedSince = start }
        return page
    }

    /// Asks for names and, perhaps, attributes and contents, which it caches.
    /// - Returns: also whether the names may be cached, until the next suspension.
    func list(
        _ inode: CachedInode, after: Name?, limit: Int, detail: ListDetail
    ) async throws(Errno) -> (page: DirectoryHandle.Page, mayFeed: Bool) {
        let mark = mark
        let wasHeld = metadata.holdsExclusive(inode.id)
        let reply = try await ask(.list(directory: inode.id, after: after, limit: limit, detail: detail), on: inode)
        guard case .entries(let entries, let complete) = reply.answer else { throw nonsense("a question for entries") }
        let leased = Set(reply.leased)
        for entry in entries {
            guard let attributes = entry.attributes, leased.contains(entry.inode) else { continue }
            learn(attributes, leased: true, since: mark)
            if let content = entry.content { learn(content, of: table.obtain(entry.inode), since: mark) }
        }
        let mayFeed = leased.contains(inode.id) && mayNoteNames(inode, since: mark, wasHeld: wasHeld)
        return (DirectoryHandle.Page(first: 0, after: after, entries: entries, leased: leased, mark: mark, isLast: complete, detail: detail), mayFeed)
    }

    /// Notes listed names. `completes`: the directory is known completely with them. `mayForget`: others are forgotten where it comes to too many.
    /// - Returns: false if they are too many.
    private func feed(_ inode: CachedInode, _ entries: [DirectoryEntry], completes: Bool, mayForget: Bool) -> Bool {
        if inode.directory?.isComplete == true { return true }
        if (inode.directory?.count ?? 0) + entries.count > options.directoryNames {
            guard mayForget else { return false }
            // What has changed here since the listing began stays.
            inode.forgetNames(but: entries.lazy.map(\.name), stamp: nextStamp())
        }
        var cache = inode.directory ?? DirectoryCache(isComplete: false)
        inode.directory = nil
        cache.reserve(entries.count)
        for entry in entries where cache.entry(entry.name) == nil { cache.set(entry.name, .present(entry.inode, entry.kind)) }
        if completes { cache.isComplete = true }
        inode.directory = cache
        table.recount(inode)
        return true
    }

    /// A name had to be asked for: perhaps those after it are wanted next.
    func noteMiss(_ inode: CachedInode, _ name: Name) {
        guard inode.directory?.readAhead.noteMiss() == true else { return }
        Task { @LoopActor [self] in
            inode.pins += 1
            // A small directory is wanted as a whole: then it is known which names are absent.
            let isSmall = inode.stored.map { $0.entries <= UInt64(NameReadAhead.names) } ?? false
            let listing = try? await list(inode, after: isSmall ? nil : name, limit: NameReadAhead.names, detail: .attributes)
            if let (page, mayFeed) = listing, mayFeed {
                _ = feed(inode, page.entries, completes: isSmall && page.isLast, mayForget: true)
                inode.directory?.readAhead.end(served: page.leased.count * 2 > page.entries.count)
            } else {
                inode.directory?.readAhead.end(served: false)
            }
            inode.pins -= 1
            trim()
        }
    }

    /// Reads a directory that was just leased exclusively, if it is not huge: its files come exclusively with it, and absent names are known.
    func readAll(_ inode: CachedInode) async {
        guard let entries = inode.stored?.entries, entries <= Self.readAllMax else { return }
        let start = mark
        var after: Name?
        while true {
            guard let (page, mayFeed) = try? await list(inode, after: after, limit: Self.pageEntries, detail: .attributes), mayFeed
            else { return }
            let isWhole = page.isLast && inode.delegation.map { $0.doubtedAt <= start } ?? false
            guard feed(inode, page.entries, completes: isWhole, mayForget: false), !page.isLast, let last = page.entries.last else { return }
            after = last.name
        }
    }

    /// All entries of a directory that is known completely, with as many attributes as are known.
    private func cachedListing(_ inode: CachedInode, _ detail: ListDetail) -> DirectoryHandle.Page? {
        guard metadata.holdsLease(inode.id), let cache = inode.directory, cache.isComplete else { return nil }
        var entries: [DirectoryEntry] = []
        var leased: Set<InodeID> = []
        for (name, entry) in cache.names.sorted(by: { $0.key < $1.key }) {
            guard case .present(let id, let kind) = entry else { continue }
            var attributes: Attributes?
            if let child = table.existing(id), let cached = cachedAttributes(child) {
                attributes = cached
                leased.insert(id)
            }
            entries.append(DirectoryEntry(name: name, inode: id, kind: kind, attributes: attributes))
        }
        // If attributes of most that are wished are missing, one question for all is cheaper than one for each.
        let wished = entries.prefix(Self.firstPageEntries).filter { detail >= .attributes || detail == .directories && $0.kind == .directory }
        guard wished.count(where: { $0.attributes != nil }) * 2 >= wished.count else { return nil }
        return DirectoryHandle.Page(first: 0, after: nil, entries: entries, leased: leased, mark: mark, isLast: true, detail: detail)
    }
}
