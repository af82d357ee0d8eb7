import Blocks
import Bytes
import Digest
import Runtime

/// Whole blocks in memory, by key, the longest unused put out first. What a key names never changes, so nothing here can be out of date.
@LoopActor
final class BlockCache {
    private final class Entry {
        let key: BlockKey
        let content: Slice
        let charge: Int
        unowned var newer: Entry?
        unowned var older: Entry?

        init(key: BlockKey, content: Slice) {
            self.key = key
            self.content = content
            charge = max(content.buffer.capacity, 4096)
        }
    }

    private typealias Fetched = Result<Slice, BlocksError>

    private let blocks: any BlockClient
    private let meter: DirtyMeter
    private let bytesMax: Int
    private var entries: [BlockKey: Entry] = [:]
    private var newest: Entry?
    private var oldest: Entry?
    private(set) var bytes = 0
    /// Waiters for blocks being fetched.
    private var fetching: [BlockKey: [UnsafeContinuation<Fetched, Never>]] = [:]
    /// Bytes being fetched.
    private(set) var fetchingBytes = 0
    /// How often blocks were read in part not long ago; a ring bounds them. Small parts of a block are read alone so often before the whole is
    /// fetched: for reads all over a large file a whole block for each would cost more than it saves.
    private var partial: [BlockKey?] = Array(repeating: nil, count: 1024)
    private var partialNext = 0
    private var partialCounts: [BlockKey: Int] = [:]
    private static let partsMax = 24
    /// Gets that went out, for tests and counters.
    private(set) var wholeGets = 0
    private(set) var partGets = 0

    /// - Parameter bytesMax: of blocks here and dirty blocks together.
    init(blocks: any BlockClient, meter: DirtyMeter, bytesMax: Int) {
        self.blocks = blocks
        self.meter = meter
        self.bytesMax = bytesMax
    }

    /// A cached block.
    func cached(_ key: BlockKey) -> Slice? {
        guard let entry = entries[key] else { return nil }
        touch(entry)
        return entry.content
    }

    func isCachedOrFetching(_ key: BlockKey) -> Bool { entries[key] != nil || fetching[key] != nil }

    /// Keeps a whole block.
    func insert(_ key: BlockKey, _ content: Slice) {
        guard entries[key] == nil else { return }
        let entry = Entry(key: key, content: content)
        entries[key] = entry
        bytes += entry.charge
        pushNewest(entry)
        trim()
    }

    /// Puts blocks out until clean and dirty bytes together fit.
    func trim() {
        let limit = max(bytesMax - meter.bytes, bytesMax / 8)
        while bytes > limit, let entry = oldest {
            entries[entry.key] = nil
            bytes -= entry.charge
            unlink(entry)
        }
    }

    /// The whole block. One get serves everybody who waits for it.
    func whole(_ key: BlockKey, length: Int) async throws(BlocksError) -> Slice {
        if let content = cached(key) { return content }
        if fetching[key] != nil {
            let result: Fetched = await withUnsafeContinuation { fetching[key, default: []].append($0) }
            return try result.get()
        }
        fetching[key] = []
        fetchingBytes += length
        wholeGets += 1
        let result: Fetched
        do {
            let content = try await blocks.get(key, length: length, offset: 0, count: length)
            result =
                content.count == length
                ? .success(content) : .failure(BlocksError(.lost, "block \(key) has \(content.count) bytes, not \(length)"))
        } catch {
            result = .failure(error)
        }
        fetchingBytes -= length
        let waiting = fetching.removeValue(forKey: key) ?? []
        if case .success(let content) = result { insert(key, content) }
        for waiter in waiting { waiter.resume(returning: result) }
        return try result.get()
    }

    /// A part of a block. A small part of a block is fetched alone the first times, unless `preferWhole`.
    func part(_ key: BlockKey, length: Int, offset: Int, count: Int, preferWhole: Bool) async throws(BlocksError) -> Slice {
        let content: Slice
        if let hit = cached(key) {
            content = hit
        } else if preferWhole || count >= 65_536 || count == length || fetching[key] != nil || !notePart(key) {
            content = try await whole(key, length: length)
        } else {
            partGets += 1
            let part = try await blocks.get(key, length: length, offset: offset, count: count)
            guard part.count == count else { throw BlocksError(.lost, "block \(key): \(part.count) bytes of \(count)") }
            return part
        }
        guard let part = content.part(offset: offset, count: count) else {
            throw BlocksError(.invalid, "block \(key) of \(content.count) bytes has no range \(offset)+\(count)")
        }
        return part
    }

    /// False where the block was read in part so often that the whole should be fetched now.
    private func notePart(_ key: BlockKey) -> Bool {
        if let count = partialCounts[key] {
            partialCounts[key] = count + 1
            return count < Self.partsMax
        }
        partialCounts[key] = 1
        if let old = partial[partialNext] { partialCounts[old] = nil }
        partial[partialNext] = key
        partialNext = (partialNext + 1) % partial.count
        return true
    }

    private func touch(_ entry: Entry) {
        guard newest !== entry else { return }
        unlink(entry)
        pushNewest(entry)
    }

    private func pushNewest(_ entry: Entry) {
        entry.older = newest
        entry.newer = nil
        newest?.newer = entry
        newest = entry
        if oldest == nil { oldest = entry }
    }

    private func unlink(_ entry: Entry) {
        if newest === entry { newest = entry.older }
        if oldest === entry { oldest = entry.newer }
        entry.older?.newer = entry.newer
        entry.newer?.older = entry.older
        entry.newer = nil
        entry.older = nil
    }

    /// Drops a block.
    func remove(_ key: BlockKey) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        bytes -= entry.charge
        unlink(entry)
    }

    /// Drops every block.
    func removeAll() {
        while let entry = oldest {
            entries[entry.key] = nil
            bytes -= entry.charge
            unlink(entry)
        }
    }
}
