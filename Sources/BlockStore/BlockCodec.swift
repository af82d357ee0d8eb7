import Bytes
import CZstd
import Digest
import Journal

/// Checks and compresses blocks. Any thread.
///
/// Sendable without checking: the idle contexts are behind `lock`; a context in use belongs to one caller.
final class BlockCodec: @unchecked Sendable {
    struct Prepared: Sendable {
        var header: BlockHeader
        var payload: JournalPayload
    }

    private static let level: Int32 = 1
    /// Below this compression saves no disk page worth the time.
    private static let compressedMin = 4096
    private static let sampleBytes = 4096
    private static let idleMax = 8

    private let lock = Lock()
    private var compressors: [OpaquePointer] = []
    private var decompressors: [OpaquePointer] = []

    deinit {
        for context in compressors { ZSTD_freeCCtx(context) }
        for context in decompressors { ZSTD_freeDCtx(context) }
    }

    /// The record of a block; nil if `content` does not have this key.
    func prepare(_ key: BlockKey, _ content: Slice) -> Prepared? {
        guard SHA256.key(of: content) == key else { return nil }
        let compressed = compress(content)
        return Prepared(
            header: BlockHeader(key: key, length: content.count, isCompressed: compressed != nil),
            payload: JournalPayload(compressed ?? content))
    }

    /// The content of a stored block; nil if it is not `length` bytes of content compressed.
    func decompress(_ stored: Slice, length: Int) -> Slice? {
        let idle = lock.withLock { decompressors.popLast() }
        guard let context = idle ?? ZSTD_createDCtx() else { return nil }
        defer { giveBack(context, to: \.decompressors) { ZSTD_freeDCtx($0) } }
        let buffer = BufferPool.shared.buffer(capacity: length)
        let written = stored.withBytes { ZSTD_decompressDCtx(context, buffer.base, length, $0.baseAddress, $0.count) }
        guard ZSTD_isError(written) == 0, written == length else { return nil }
        buffer.count = length
        return buffer.slice
    }

    /// Nil if less than a tenth would be saved. Samples from the start and the middle decide first, so that content that is compressed already
    /// costs next to nothing.
    private func compress(_ content: Slice) -> Slice? {
        guard content.count >= Self.compressedMin else { return nil }
        let idle = lock.withLock { compressors.popLast() }
        guard let context = idle ?? ZSTD_createCCtx() else { return nil }
        defer { giveBack(context, to: \.compressors) { ZSTD_freeCCtx($0) } }
        if content.count > 4 * Self.sampleBytes {
            var stored = 0
            for start in [0, content.count / 2] {
                guard let sample = content.part(offset: start, count: Self.sampleBytes) else { return nil }
                stored += compress(sample, with: context)?.count ?? Self.sampleBytes
            }
            guard Self.isWorthIt(stored, of: 2 * Self.sampleBytes) else { return nil }
        }
        guard let compressed = compress(content, with: context), Self.isWorthIt(compressed.count, of: content.count) else { return nil }
        return compressed
    }

    private static func isWorthIt(_ stored: Int, of count: Int) -> Bool { stored <= count - count / 10 }

    private func compress(_ content: Slice, with context: OpaquePointer) -> Slice? {
        let bound = ZSTD_compressBound(content.count)
        let buffer = BufferPool.shared.buffer(capacity: bound)
        let written = content.withBytes {
            ZSTD_compressCCtx(context, buffer.base, buffer.capacity, $0.baseAddress, $0.count, Self.level)
        }
        guard ZSTD_isError(written) == 0 else { return nil }
        buffer.count = written
        return buffer.slice
    }

    private func giveBack(
        _ context: OpaquePointer, to idle: ReferenceWritableKeyPath<BlockCodec, [OpaquePointer]>, free: (OpaquePointer) -> Void
    ) {
        let kept = lock.withLock {
            guard self[keyPath: idle].count < Self.idleMax else { return false }
            self[keyPath: idle].append(context)
            return true
        }
        if !kept { free(context) }
    }
}
