import Bytes
import Runtime

/// What happens to a disk behind everybody's back, and looking at it.
extension MemoryDisk {
    /// A write that will land elsewhere.
    struct Misdirection {
        let matching: @LoopActor (String) -> Bool
        let target: (path: String, offset: UInt64)?
    }

    /// Paths of all files, sorted.
    package var files: [String] { root.files(under: "").map(\.path) }

    /// The content of a file as a reader would see it now; nil if there is none.
    package func content(_ path: String) -> [UInt8]? { file(path)?.bytes }

    /// Bytes that all files together have.
    package var usedBytes: Int { usage.bytes }

    /// Changes a file durably, as rot does. All of the file becomes durable. False if there is no such file.
    @discardableResult
    package func corrupt(_ path: String, _ change: (inout [UInt8]) -> Void) -> Bool {
        guard let file = file(path) else { return false }
        var bytes = file.bytes
        change(&bytes)
        file.replace(with: bytes)
        return true
    }

    /// Flips bits in what is stored in files whose path matches; a page with un-synced changes becomes durable with them.
    /// - Returns: which bytes, in the order of the flips; fewer than asked for only if no file has any content.
    @discardableResult
    package func rot(
        bits: Int, random: SeededRandom, matching: @LoopActor (String) -> Bool = { _ in true }
    ) -> [(path: String, offset: UInt64)] {
        let pages = root.files(under: "").filter { matching($0.path) && $0.content.length > 0 }
            .flatMap { file in file.content.storedPages.map { (file.path, file.content, $0) } }
        guard !pages.isEmpty else { return [] }
        return (0..<bits).map { _ in
            let (path, content, page) = pages[random.below(pages.count)]
            return (path, UInt64(flipBit(content, in: page, random)))
        }
    }

    /// The next write to a file whose path matches lands elsewhere, on the medium and in the cache: at a place given, or by chance on another page
    /// of any file that matches. Its writer is told that all is well, and its own place keeps what was there.
    package func misdirectNextWrite(
        matching: @escaping @LoopActor (String) -> Bool = { _ in true }, to target: (path: String, offset: UInt64)? = nil
    ) {
        misdirection = Misdirection(matching: matching, target: target)
    }

    /// The kernel's cache lets go of all clean pages: what was written before a failed sync reads as it is on the medium.
    package func dropCaches() {
        for file in root.files(under: "") { file.content.dropCache() }
    }

    /// What is on the medium now, for `restore`.
    package func image() -> MemoryDiskImage { MemoryDiskImage(root: root.durableCopy(usage: MemoryUsage())) }

    /// Puts an earlier content of the disk in place, as a restored backup does. No process may be using it: all are dead afterwards.
    package func restore(_ image: MemoryDiskImage) {
        crash()
        root = image.root.durableCopy(usage: usage)
        recount()
    }

    func flipBit(_ content: MemoryContent, in page: Int, _ random: SeededRandom) -> Int {
        let start = page * MemoryContent.pageBytes
        let offset = start + random.below(min(MemoryContent.pageBytes, max(1, content.length - start)))
        let bit = UInt8(1) << UInt8(random.below(8))
        content.damage(at: offset) { $0[offset - start] ^= bit }
        return offset
    }

    /// Where a write to `path` lands instead; nil for the right place.
    func misdirected(_ path: String) -> (content: MemoryContent, offset: Int)? {
        let target: (path: String, offset: UInt64)?
        let matching: @LoopActor (String) -> Bool
        if let misdirection, misdirection.matching(path) {
            self.misdirection = nil
            target = misdirection.target
            matching = misdirection.matching
        } else if strikes(faults.misdirectedWrites) {
            target = nil
            matching = { _ in true }
        } else {
            return nil
        }
        if let target {
            guard let content = file(target.path), let offset = Int(exactly: target.offset) else { return nil }
            return (content, offset)
        }
        guard let random else { return nil }
        let candidates = root.files(under: "").filter { matching($0.path) && $0.content.length > 0 }
        guard !candidates.isEmpty else { return nil }
        let content = candidates[random.below(candidates.count)].content
        let pages = (content.length + MemoryContent.pageBytes - 1) / MemoryContent.pageBytes
        return (content, random.below(pages) * MemoryContent.pageBytes)
    }

    /// Puts bytes over what is there, durably, not beyond the end of the file.
    func overwrite(_ content: MemoryContent, at offset: Int, with parts: [Slice]) {
        let bytes = parts.flatMap(\.array)
        var done = 0
        while done < bytes.count, offset + done < content.length {
            let inside = (offset + done) % MemoryContent.pageBytes
            let count = min(MemoryContent.pageBytes - inside, bytes.count - done, content.length - offset - done)
            content.damage(at: offset + done) { page in
                page[inside..<inside + count].copyBytes(from: bytes[done..<done + count])
            }
            done += count
        }
    }
}

extension MemoryDisk {
    /// Removes a directory with all that is in it, durably, as somebody with too much power does. No file of it may be open.
    package func wipe(_ path: String) {
        guard let slash = path.lastIndex(of: "/"), let parent = try? directory(String(path[..<slash])) else { return }
        let name = String(path[path.index(after: slash)...])
        parent.entries[name] = nil
        parent.durable[name] = nil
        recount()
    }
}
