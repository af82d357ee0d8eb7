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
        for fragment in fragments {
            guard case .block(let key, let length, _, _) = fragment, !blockCache.isCachedOrFetching(key) else { continue }
            Task { @LoopActor [self] in _ = try? await blockCache.whole(key, length: length) }
        }
    }
}
