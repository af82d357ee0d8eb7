import Glibc

/// The bytes of one file: as its users see them, and as they would be after a power loss.
struct Content {
    /// Largest file, in bytes.
    static let sizeMax = 64 << 30

    private(set) var size = 0
    /// nil: a hole.
    private(set) var pages: [Page?] = []
    /// Pages from 0 up to here have room on the disk even if they are holes (fallocate(2)).
    private(set) var reserved = 0
    private var beyondReserved = 0

    private var durableSize = 0
    private var durablePages: [Page?] = []
    private var durableReserved = 0
    /// Pages that differ, or may differ, from their durable form.
    private(set) var dirty: Set<Int> = []

    /// Pages that take room on the disk.
    var used: Int { reserved + beyondReserved }
    var isDirty: Bool { !dirty.isEmpty || size != durableSize || reserved != durableReserved }

    // MARK: Use

    func read(at offset: Int, count: Int, into target: UnsafeMutableRawPointer) -> Int {
        guard offset < size else { return 0 }
        let end = min(size, offset + count)
        var position = offset
        while position < end {
            let index = position / Page.size
            let start = position % Page.size
            let part = min(Page.size - start, end - position)
            if index < pages.count, let page = pages[index] {
                (target + (position - offset)).copyMemory(from: page.bytes + start, byteCount: part)
            } else {
                memset(target + (position - offset), 0, part)
            }
            position += part
        }
        return end - offset
    }

    /// Pages that `write` would have to find room for.
    func needed(at offset: Int, count: Int) -> Int {
        let range = Self.pages(offset, count)
        return range.reduce(0) { $0 + ($1 >= reserved && !($1 < pages.count && pages[$1] != nil) ? 1 : 0) }
    }

    mutating func write(_ source: UnsafeRawPointer, at offset: Int, count: Int) {
        var position = offset
        let end = offset + count
        while position < end {
            let index = position / Page.size
            let start = position % Page.size
            let part = min(Page.size - start, end - position)
            (writable(index).bytes + start).copyMemory(from: source + (position - offset), byteCount: part)
            position += part
        }
        size = max(size, end)
    }

    mutating func truncate(to newSize: Int) {
        if newSize < size {
            let kept = (newSize + Page.size - 1) / Page.size
            for index in pages.indices.dropFirst(kept) where pages[index] != nil || dirty.contains(index) { dirty.insert(index) }
            for index in kept..<max(kept, durablePages.count) where durablePages[index] != nil { dirty.insert(index) }
            if pages.count > kept { pages.removeLast(pages.count - kept) }
            let rest = newSize % Page.size
            if rest > 0, kept <= pages.count, pages[kept - 1] != nil { memset(writable(kept - 1).bytes + rest, 0, Page.size - rest) }
            reserved = min(reserved, kept)
            recount()
        }
        size = newSize
    }

    /// Pages that `allocate` would have to find room for. Room is kept from the beginning of the file, as journals and RocksDB ask for it.
    func neededToAllocate(upTo end: Int) -> Int {
        let wanted = (end + Page.size - 1) / Page.size
        guard wanted > reserved else { return 0 }
        let there = pages.indices.filter { $0 >= reserved && $0 < wanted && pages[$0] != nil }.count
        return wanted - reserved - there
    }

    mutating func allocate(upTo end: Int, keepSize: Bool) {
        reserved = max(reserved, (end + Page.size - 1) / Page.size)
        recount()
        if !keepSize { size = max(size, end) }
    }

    /// Makes a range zeros; the room stays.
    mutating func clear(at offset: Int, count: Int) {
        var position = offset
        let end = min(size, offset + count)
        while position < end {
            let index = position / Page.size
            let start = position % Page.size
            let part = min(Page.size - start, end - position)
            if index < pages.count, pages[index] != nil { memset(writable(index).bytes + start, 0, part) }
            position += part
        }
    }

    /// Flips one bit, on the disk as well.
    mutating func flip(bit: Int) {
        let index = bit / 8 / Page.size
        guard index < pages.count, let page = pages[index] else { return }
        let changed = Page(copying: page)
        changed.bytes.storeBytes(
            of: (page.bytes + bit / 8 % Page.size).load(as: UInt8.self) ^ UInt8(1 << (bit % 8)), toByteOffset: bit / 8 % Page.size, as: UInt8.self)
        pages[index] = changed
        if index < durablePages.count, !dirty.contains(index) { durablePages[index] = changed }
    }

    private mutating func writable(_ index: Int) -> Page {
        while pages.count <= index { pages.append(nil) }
        if let page = pages[index] {
            if dirty.contains(index) { return page }
            let copy = Page(copying: page)
            pages[index] = copy
            dirty.insert(index)
            return copy
        }
        let page = Page()
        pages[index] = page
        dirty.insert(index)
        if index >= reserved { beyondReserved += 1 }
        return page
    }

    private mutating func recount() {
        beyondReserved = pages.indices.dropFirst(reserved).reduce(0) { $0 + (pages[$1] == nil ? 0 : 1) }
    }

    private static func pages(_ offset: Int, _ count: Int) -> Range<Int> {
        count == 0 ? 0..<0 : offset / Page.size..<(offset + count - 1) / Page.size + 1
    }

    // MARK: Durability

    /// fsync(2). Returns the number of pages written.
    mutating func sync() -> Int {
        let written = dirty.count
        while durablePages.count < pages.count { durablePages.append(nil) }
        for index in dirty where index < durablePages.count { durablePages[index] = index < pages.count ? pages[index] : nil }
        if durablePages.count > pages.count { durablePages.removeLast(durablePages.count - pages.count) }
        durableSize = size
        durableReserved = reserved
        dirty.removeAll(keepingCapacity: true)
        return written
    }

    /// Everything that was not synced is gone. Returns the number of pages that changed.
    @discardableResult
    mutating func revert() -> Int {
        let lost = dirty.count
        pages = durablePages
        size = durableSize
        reserved = durableReserved
        dirty.removeAll()
        recount()
        return lost
    }

    /// Power loss: each change that was not synced is dropped, kept or torn. Returns the numbers of pages of which it was so.
    mutating func lose(_ random: inout Seeded) -> (dropped: Int, kept: Int, torn: Int) {
        guard isDirty else { return (0, 0, 0) }
        let fate = random.next() % 4
        if fate == 0 { return (revert(), 0, 0) }
        if fate == 1 {
            return (0, sync(), 0)
        }
        // Pages reach the disk in any order, so each is on its own.
        var count = (dropped: 0, kept: 0, torn: 0)
        for index in dirty.sorted() {
            let new = index < pages.count ? pages[index] : nil
            let old = index < durablePages.count ? durablePages[index] : nil
            switch random.next() % 8 {
            case 0..<3:
                count.dropped += 1
                place(old, at: index)
            case 3..<6:
                count.kept += 1
                place(new, at: index)
            default:
                count.torn += 1
                let page = old.map(Page.init(copying:)) ?? Page()
                let sectors = 1 + Int(random.next() % UInt64(Page.size / Page.sector - 1))
                if let new { page.bytes.copyMemory(from: new.bytes, byteCount: sectors * Page.sector) } else { memset(page.bytes, 0, sectors * Page.sector) }
                place(page, at: index)
            }
        }
        dirty.removeAll()
        size = lostSize(&random)
        if !random.chance(1, of: 2) { reserved = durableReserved }
        let kept = (size + Page.size - 1) / Page.size
        if pages.count > kept { pages.removeLast(pages.count - kept) }
        let rest = size % Page.size
        if rest > 0, kept <= pages.count, let last = pages[kept - 1] {
            let page = Page(copying: last)
            memset(page.bytes + rest, 0, Page.size - rest)
            pages[kept - 1] = page
        }
        recount()
        _ = sync()
        return count
    }

    /// The old size, the new one, or one between in whole sectors.
    private func lostSize(_ random: inout Seeded) -> Int {
        switch random.next() % 3 {
        case 0: return durableSize
        case 1: return size
        default:
            guard size > durableSize else { return size }
            let grown = Int(random.next() % UInt64(size - durableSize + 1))
            return min(size, durableSize + grown / Page.sector * Page.sector)
        }
    }

    private mutating func place(_ page: Page?, at index: Int) {
        while pages.count <= index { pages.append(nil) }
        pages[index] = page
    }
}
