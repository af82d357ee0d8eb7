package import Bytes
import Digest
import Glibc
import Metadata
package import Model
import Namespace
import Runtime
import Telemetry

/// Reading: what the bytes of a range are made of, and getting them.
extension DistributedFilesystem {
    /// A run of a file's bytes, for a reader.
    enum Fragment {
        case zero(Int)
        case bytes(Slice)
        case block(key: BlockKey, length: Int, offset: Int, count: Int)

        var count: Int {
            switch self {
            case .zero(let count): count
            case .bytes(let slice): slice.count
            case .block(_, _, _, let count): count
            }
        }
    }

    package func read(_ id: InodeID, handle: UInt64, offset: UInt64, count: Int) async throws(Errno) -> [Slice] {
        let file = try file(handle, id)
        let inode = file.inode
        guard count > 0 else { return [] }
        transferBegins(inode)
        defer { transferEnds(inode) }
        let (fragments, size) = try await fragments(inode, offset: offset, count: count)
        try file.checkLocks()
        guard !fragments.isEmpty else { return [] }
        inode.kernelMayHold = true
        // Nobody will recall what has no lease.
        if !metadata.holdsLease(inode.id) { inode.kernelPagesAreOld = true }
        let isSequential = noteRead(file, offset: offset, count: count, size: size)
        if isSequential { prefetch(file, size: size) }
        let slices = try await fetch(fragments, of: inode, preferWhole: isSequential || size <= UInt64(options.blockSize))
        if isSequential, size > Self.largeFile { leaveBehind(fragments, file) }
        return slices
    }

    /// Files above this are not kept in the block cache by reading or writing them in order: the kernel's pages hold them, and memory that is used
    /// again at once costs less than memory that is touched for the first time.
    static let largeFile: UInt64 = 8 << 20

    /// Lets go of blocks whose end a sequential reader has passed, a few blocks later because requests of the kernel overtake each other.
    private func leaveBehind(_ fragments: [Fragment], _ file: FileHandle) {
        for case .block(let key, let length, let offset, let count) in fragments where offset + count == length {
            file.leftBehind.append(key)
            if file.leftBehind.count > 8 { blockCache.remove(file.leftBehind.removeFirst()) }
        }
    }

    // MARK: Fragments

    /// Bytes of a file that are looked at in one step: so that one question does not ask for too many extents.
    static let fragmentBytesMax = 1 << 30

    /// What the bytes from `offset` on are made of, up to `count` or the end of the file; and the file's size. True at one moment within
    /// the call.
    /// `count` above `fragmentBytesMax` is cut to it.
    func fragments(_ inode: CachedInode, offset: UInt64, count: Int) async throws(Errno) -> ([Fragment], size: UInt64) {
        guard offset < Limits.fileBytes else { return ([], try await currentAttributes(inode).size) }
        let count = min(count, Self.fragmentBytesMax)
        inode.pins += 1
        defer { inode.pins -= 1 }
        var mayArrive = true
        while true {
            table.touch(inode)
            if let attributes = cachedAttributes(inode) {
                guard attributes.kind == .file else { throw attributes.kind == .directory ? .isDirectory : .invalid }
                guard offset < attributes.size else { return ([], attributes.size) }
                let range = offset..<min(attributes.size, offset + UInt64(count))
                if let fragments = resolve(inode, range) { return (fragments, attributes.size) }
            }
            if mayArrive {
                mayArrive = false
                await contentArrives(inode)
                continue
            }
            let wanted = offset..<(offset + UInt64(count))
            let (content, attributes, isCached) = try await loadContent(inode, wanted)
            if isCached { continue }
            // No lease: the answer is good for this once.
            guard offset < attributes.size else { return ([], attributes.size) }
            let range = offset..<min(attributes.size, offset + UInt64(count))
            var stored = StoredContent.unknown
            switch content {
            case .inline(let bytes): stored = .inline(bytes)
            case .extents(let extents): stored = .extents(ExtentMap(all: extents))
            }
            var fragments: [Fragment] = []
            appendStored(stored, range, &fragments)
            return (fragments, attributes.size)
        }
    }

    /// Asks for the content of the regions that a range touches. `isCached`: it is in `inode.content` now, or something changed meanwhile;
    /// look again.
    func loadContent(_ inode: CachedInode, _ range: Range<UInt64>) async throws(Errno) -> (Content, Attributes, isCached: Bool) {
        let regions = ExtentMap.regions(of: range)
        let start = regions.lowerBound * Limits.regionBytes
        let length = UInt64(regions.count) * Limits.regionBytes
        let mark = mark
        let reply = try await ask(.content(inode.id, offset: start, length: length), on: inode)
        guard case .content(let content, let attributes) = reply.answer else { throw nonsense("a question for content") }
        let leased = reply.leased.contains(inode.id)
        learn(attributes, leased: leased, since: mark)
        guard leased, inode.recall == nil, metadata.holdsLease(inode.id) else {
            // A file with changes here is under an exclusive lease, and the answer alone would miss them, also those committed while it was under way.
            return (content, attributes, isCached: inode.isDirty || attributes.version < inode.acknowledged)
        }
        guard inode.changedAt <= mark, inode.droppedAt <= mark, inode.stored != nil else {
            return (content, attributes, isCached: inode.stored != nil)
        }
        switch content {
        case .inline(let bytes):
            inode.content = .inline(bytes)
        case .extents(let extents):
            var map = ExtentMap(complete: false)
            if case .extents(let known) = inode.content, known.count < 65_536 { map = known }
            inode.content = .unknown
            map.learn(regions, extents)
            inode.content = .extents(map)
        }
        table.recount(inode)
        trim()
        return (content, attributes, isCached: true)
    }

    /// The fragments of a range below the file's size from what is known here; nil where it is not known.
    func resolve(_ inode: CachedInode, _ range: Range<UInt64>) -> [Fragment]? {
        var layers: [Layer] = []
        if let dirty = inode.dirty {
            if !dirty.pending.isEmpty { layers.append(dirty.pending) }
            if let layer = dirty.committing { layers.append(layer) }
        }
        return resolve(inode.content, under: layers[...], range)
    }

    /// The fragments of a range of stored content under layers, the newest first.
    func resolve(_ content: StoredContent, under layers: ArraySlice<Layer>, _ range: Range<UInt64>) -> [Fragment]? {
        var fragments: [Fragment] = []
        return resolve(content, under: layers, range, &fragments) ? fragments : nil
    }

    private func resolve(
        _ content: StoredContent, under layers: ArraySlice<Layer>, _ range: Range<UInt64>, _ fragments: inout [Fragment]
    ) -> Bool {
        guard let layer = layers.first else {
            guard content.isKnown(range) else { return false }
            appendStored(content, range, &fragments)
            return true
        }
        var isKnown = true
        layer.pieces.visit(range) { part, piece in
            if let piece {
                Self.append(Self.fragment(piece), to: &fragments)
                return
            }
            let border = min(max(layer.cut, part.lowerBound), part.upperBound)
            if part.lowerBound < border, isKnown {
                isKnown = resolve(content, under: layers.dropFirst(), part.lowerBound..<border, &fragments)
            }
            if border < part.upperBound { Self.append(.zero(Int(part.upperBound - border)), to: &fragments) }
        }
        return isKnown
    }

    static func fragment(_ piece: Piece) -> Fragment {
        switch piece.source {
        case .zero: .zero(Int(piece.length))
        case .memory(let block): .bytes(block.slice(piece.range))
        case .block(let key, let blockLength, let blockOffset):
            .block(key: key, length: Int(blockLength), offset: Int(blockOffset), count: Int(piece.length))
        }
    }

    private func appendStored(_ content: StoredContent, _ range: Range<UInt64>, _ fragments: inout [Fragment]) {
        switch content {
        case .unknown:
            preconditionFailure("only known content is read")
        case .inline(let bytes):
            let upper = min(range.upperBound, UInt64(bytes.count))
            if range.lowerBound < upper { fragments.append(.bytes(Slice(copying: bytes[Int(range.lowerBound)..<Int(upper)]))) }
            let rest = range.upperBound - max(range.lowerBound, upper)
            if rest > 0 { Self.append(.zero(Int(rest)), to: &fragments) }
        case .extents(let map):
            var position = range.lowerBound
            for extent in map.extents(in: range) {
                if position < extent.offset { Self.append(.zero(Int(extent.offset - position)), to: &fragments) }
                fragments.append(
                    .block(
                        key: extent.key, length: Int(extent.blockLength), offset: Int(extent.blockOffset), count: Int(extent.length)))
                position = extent.end
            }
            if position < range.upperBound { Self.append(.zero(Int(range.upperBound - position)), to: &fragments) }
        }
    }

    private static func append(_ fragment: Fragment, to fragments: inout [Fragment]) {
        if case .zero(let more) = fragment, case .zero(let count)? = fragments.last {
            fragments[fragments.count - 1] = .zero(count + more)
        } else {
            fragments.append(fragment)
        }
    }

    // MARK: Bytes

    /// The bytes of fragments, blocks fetched in parallel.
    func fetch(_ fragments: [Fragment], of inode: CachedInode, preferWhole: Bool) async throws(Errno) -> [Slice] {
        var slices: [Slice] = []
        var missing: [(index: Int, fragment: Fragment)] = []
        for fragment in fragments {
            switch fragment {
            case .zero(let count):
                var left = count
                while left > 0 {
                    let part = min(left, Self.zeros.count)
                    slices.append(Slice(buffer: Self.zeros.buffer, offset: 0, count: part))
                    left -= part
                }
            case .bytes(let slice):
                slices.append(slice)
            case .block(let key, _, let offset, let count):
                if let part = blockCache.cached(key)?.part(offset: offset, count: count) {
                    slices.append(part)
                } else {
                    missing.append((slices.count, fragment))
                    slices.append(Slice(buffer: Self.zeros.buffer, offset: 0, count: 0))
                }
            }
        }
        if missing.count == 1, let only = missing.first {
            slices[only.index] = try await fetchBlock(only.fragment, of: inode, preferWhole: preferWhole)
        } else if !missing.isEmpty {
            // The first wave is bounded so that one huge read cannot ask for everything at once.
            var next = 0
            while next < missing.count {
                let wave = missing[next..<min(next + 32, missing.count)]
                let results = await concurrently(Array(wave)) { [self] item in
                    await resultOfFetch(item.fragment, of: inode, preferWhole: preferWhole)
                }
                for (item, result) in zip(wave, results) { slices[item.index] = try result.get() }
                next += wave.count
            }
        }
        return slices
    }

    private func resultOfFetch(_ fragment: Fragment, of inode: CachedInode, preferWhole: Bool) async -> Result<Slice, Errno> {
        do {
            return .success(try await fetchBlock(fragment, of: inode, preferWhole: preferWhole))
        } catch {
            return .failure(error)
        }
    }

    private func fetchBlock(_ fragment: Fragment, of inode: CachedInode, preferWhole: Bool) async throws(Errno) -> Slice {
        guard case .block(let key, let length, let offset, let count) = fragment else { preconditionFailure("only blocks are fetched") }
        do {
            return try await blockCache.part(key, length: length, offset: offset, count: count, preferWhole: preferWhole)
        } catch {
            log.error("cannot read a block: \(error)", ["inode": "\(inode.id)", "block": "\(key)"])
            throw Errno(error) == .noSpace ? .io : Errno(error)
        }
    }

    /// A copy of a range of a file in one buffer, `fragments` being what it is made of.
    func assemble(_ fragments: [Fragment], of inode: CachedInode, capacity: Int) async throws(Errno) -> Buffer {
        let slices = try await fetch(fragments, of: inode, preferWhole: true)
        let buffer = BufferPool.shared.buffer(capacity: capacity)
        var position = 0
        for slice in slices {
            slice.withBytes { bytes in
                if let source = bytes.baseAddress { memcpy(buffer.base + position, source, bytes.count) }
            }
            position += slice.count
        }
        buffer.count = position
        return buffer
    }

    /// A mebibyte of zeros, shared by everybody who reads holes.
    static let zeros: Slice = {
        let buffer = BufferPool.shared.buffer(capacity: 1 << 20)
        memset(buffer.base, 0, 1 << 20)
        buffer.count = 1 << 20
        return buffer.slice
    }()
}
