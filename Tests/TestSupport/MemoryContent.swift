import Bytes
import Runtime

/// The content of a file of a `MemoryDisk`: pages that exist where something was written, and for pages and length what each was since the last sync.
///
/// All costs are in proportion to the pages touched.
@LoopActor
final class MemoryContent {
    typealias Page = [UInt8]
    nonisolated static let pageBytes = 4096
    /// What a medium writes whole or not at all.
    nonisolated static let sectorBytes = 512
    private nonisolated static let zeroPage = Page(repeating: 0, count: pageBytes)

    private struct LengthVersion {
        var length: Int
        var change: Int
        var cuts: Int
    }

    /// Absent pages are holes.
    private var pages: [Int: Page] = [:]
    private var unsynced: [Int: PageHistory] = [:]
    /// Pages whose sync failed: the cache has them and calls them clean. What is on the medium instead.
    private var stranded: [Int: Page] = [:]
    /// What the length was since the last sync. The first is on the medium, the last is the present one.
    private var lengths = [LengthVersion(length: 0, change: 0, cuts: 0)]
    private(set) var length = 0
    /// Changes so far; a sync covers those up to one.
    private(set) var changes = 0
    private var cuts = 0
    /// How often a sync failed. Everybody who had the file open then is told once, by a sync of his own (errseq_t, Documentation/core-api/errseq.rst).
    private(set) var syncFailures = 0
    private let usage: MemoryUsage
    /// Whether a name leads here: only then does it count as used space.
    private(set) var isLinked = false

    init(usage: MemoryUsage) { self.usage = usage }

    var unsyncedPages: Int { unsynced.count }
    /// Numbers of the pages that hold anything, sorted.
    var storedPages: [Int] { pages.keys.sorted() }

    func link(_ linked: Bool) {
        if linked != isLinked { usage.bytes += linked ? length : -length }
        isLinked = linked
    }

    /// A name leads here; used space is being counted from nothing.
    func countAgain() {
        isLinked = true
        usage.bytes += length
    }

    // MARK: Reading

    /// Fills all of `target` from `offset`; what lies beyond the end is zero.
    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < target.count {
            let inside = (offset + done) % Self.pageBytes
            let count = min(Self.pageBytes - inside, target.count - done)
            let part = UnsafeMutableRawBufferPointer(rebasing: target[done..<done + count])
            if let page = pages[(offset + done) / Self.pageBytes] {
                page.withUnsafeBytes { part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[inside..<inside + count])) }
            } else {
                Self.clear(part, from: 0)
            }
            done += count
        }
    }

    var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
            read(at: 0, into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<length]))
            count = length
        }
    }

    // MARK: Changing

    /// Writes the first `limit` bytes of the parts.
    func write(_ parts: [Slice], limit: Int = .max, at offset: Int) {
        changes += 1
        var place = offset
        var rest = limit
        for part in parts where rest > 0 {
            let count = min(part.count, rest)
            part.withBytes { put(UnsafeRawBufferPointer(rebasing: $0[..<count]), at: place) }
            place += count
            rest -= count
        }
        if place > length { setLength(place) }
    }

    func resize(to newLength: Int) {
        changes += 1
        if newLength < length {
            cuts += 1
            let first = newLength / Self.pageBytes
            let inside = newLength % Self.pageBytes
            if inside > 0, pages[first] != nil {
                change(first, isCut: true) { page in Self.clear(page, from: inside) }
            }
            let gone = inside > 0 ? first + 1 : first
            for number in storedPages(from: gone) {
                remember(number, isCut: true)
                pages[number] = nil
            }
        }
        if newLength != length { setLength(newLength) }
    }

    private func storedPages(from first: Int) -> [Int] {
        let end = (length + Self.pageBytes - 1) / Self.pageBytes
        if end - first < pages.count { return (first..<max(first, end)).filter { pages[$0] != nil } }
        return pages.keys.filter { $0 >= first }
    }

    private func setLength(_ newLength: Int) {
        if isLinked { usage.bytes += newLength - length }
        length = newLength
        lengths.append(LengthVersion(length: newLength, change: changes, cuts: cuts))
        // Many appends without a sync: the ones in the middle are like their neighbours, unless there were cuts.
        if lengths.count > 16, lengths[0].cuts == lengths[2].cuts { lengths.remove(at: 1) }
    }

    private static func clear(_ bytes: UnsafeMutableRawBufferPointer, from start: Int) {
        _ = UnsafeMutableRawBufferPointer(rebasing: bytes[start...]).initializeMemory(as: UInt8.self, repeating: 0)
    }

    private func put(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        var done = 0
        while done < bytes.count {
            let number = (offset + done) / Self.pageBytes
            let inside = (offset + done) % Self.pageBytes
            let count = min(Self.pageBytes - inside, bytes.count - done)
            let part = UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
            if count == Self.pageBytes {
                remember(number, isCut: false)
                pages[number] = Page(part)
            } else {
                change(number, isCut: false) { page in
                    UnsafeMutableRawBufferPointer(rebasing: page[inside..<inside + count]).copyMemory(from: part)
                }
            }
            done += count
        }
    }

    private func change(_ number: Int, isCut: Bool, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        remember(number, isCut: isCut)
        pages[number, default: Self.zeroPage].withUnsafeMutableBytes(body)
    }

    /// Keeps what the page is before it is changed, once per change.
    private func remember(_ number: Int, isCut: Bool) {
        let mark = PageHistory.Mark(change: changes, cuts: cuts, isCut: isCut)
        if let present = unsynced[number]?.present {
            if present.change != changes { unsynced[number]?.replace(pages[number] ?? [], with: mark) }
        } else if let durable = stranded.removeValue(forKey: number) {
            unsynced[number] = PageHistory(durable: durable, present: mark)
        } else {
            unsynced[number] = PageHistory(durable: pages[number] ?? [], present: mark)
        }
    }

    // MARK: Syncing

    /// Makes the changes up to this one durable; later ones may be as well, but do not have to.
    func sync(upTo change: Int) {
        if change >= changes {
            unsynced.removeAll(keepingCapacity: true)
        } else {
            for number in Array(unsynced.keys) where unsynced[number]?.sync(upTo: change) == false { unsynced[number] = nil }
        }
        if let last = lengths.lastIndex(where: { $0.change <= change }) { lengths.removeFirst(last) }
    }

    /// A sync failed: the pages are clean now, so nothing writes them any more, and still read as they were written. Cuts are no matter of pages
    /// and happened; the length may follow with a later sync.
    /// - Parameter random: lets some of them have reached the medium; without it none did.
    func failSync(random: SeededRandom?) {
        for number in unsynced.keys.sorted() {
            guard let history = unsynced[number] else { continue }
            let left = history.survivors(page: pages[number] ?? [], cuts: cuts)
            let index = random.map { $0.below(3) == 0 ? 0 : $0.below(left.count) } ?? 0
            if index < left.count - 1 { stranded[number] = left[index] }
        }
        unsynced.removeAll()
        if let cut = lengths.firstIndex(where: { $0.cuts == cuts }), lengths[0].cuts < cuts { lengths.removeFirst(cut) }
        syncFailures += 1
    }

    /// The cache lets go of clean pages, so that those whose sync failed read as they are on the medium.
    func dropCache() {
        for (number, page) in stranded { pages[number] = page.isEmpty ? nil : page }
        stranded.removeAll()
    }

    /// Power loss. Each page and the length are as they were at the last sync or, by `random`, at some time since; a page may be a mixture of
    /// such versions, sector by sector.
    func crash(random: SeededRandom?) {
        let survived = lengths[Self.pick(lengths.count, random)]
        for number in unsynced.keys.sorted() {
            guard let history = unsynced[number] else { continue }
            let versions = history.survivors(page: pages[number] ?? [], cuts: survived.cuts)
            var page = versions[Self.pick(versions.count, random)]
            if let random, versions.count > 1, random.below(4) == 0 { page = Self.torn(versions, random) }
            pages[number] = page.isEmpty ? nil : page
        }
        unsynced.removeAll()
        dropCache()
        let present = length
        if isLinked { usage.bytes += survived.length - present }
        length = survived.length
        if length < present { trim() }
        settle()
    }

    /// Half of the time the oldest or the newest, so that whole groups are lost or kept as well.
    private static func pick(_ count: Int, _ random: SeededRandom?) -> Int {
        guard let random, count > 1 else { return 0 }
        switch random.below(4) {
        case 0: return 0
        case 1: return count - 1
        default: return random.below(count)
        }
    }

    private static func torn(_ versions: [Page], _ random: SeededRandom) -> Page {
        var page = zeroPage
        for sector in 0..<pageBytes / sectorBytes {
            let version = versions[random.below(versions.count)]
            let range = sector * sectorBytes..<(sector + 1) * sectorBytes
            if !version.isEmpty { page.replaceSubrange(range, with: version[range]) }
        }
        return page
    }

    /// Nothing is stored beyond the end.
    private func trim() {
        let end = (length + Self.pageBytes - 1) / Self.pageBytes
        for number in Array(pages.keys) where number >= end { pages[number] = nil }
        let inside = length % Self.pageBytes
        guard inside > 0, pages[length / Self.pageBytes] != nil else { return }
        pages[length / Self.pageBytes, default: Self.zeroPage].withUnsafeMutableBytes { page in
            Self.clear(page, from: inside)
        }
    }

    /// What is there now is on the medium.
    private func settle() {
        unsynced.removeAll()
        stranded.removeAll()
        changes = 0
        cuts = 0
        lengths = [LengthVersion(length: length, change: 0, cuts: 0)]
    }

    // MARK: Damage

    /// Overwrites bytes on the medium and in the cache, without making the file longer.
    func damage(at offset: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        let number = offset / Self.pageBytes
        pages[number, default: Self.zeroPage].withUnsafeMutableBytes(body)
        unsynced[number] = nil
        stranded[number] = nil
    }

    /// Puts other content in place, durably.
    func replace(with bytes: [UInt8]) {
        pages.removeAll()
        if isLinked { usage.bytes += bytes.count - length }
        length = bytes.count
        bytes.withUnsafeBytes { put($0, at: 0) }
        settle()
    }

    /// A file with what is on the medium.
    func durableCopy(usage: MemoryUsage) -> MemoryContent {
        let copy = MemoryContent(usage: usage)
        copy.pages = pages
        for (number, history) in unsynced { copy.pages[number] = history.durable.isEmpty ? nil : history.durable }
        for (number, page) in stranded { copy.pages[number] = page.isEmpty ? nil : page }
        copy.length = lengths[0].length
        copy.trim()
        copy.settle()
        return copy
    }
}
