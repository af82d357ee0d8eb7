import Blocks
import Bytes
import Digest
import Glibc
import Runtime

/// Bytes written to a file and not committed yet: part of one block-aligned range of it.
///
/// Open: bytes are added and changed. Frozen (`run` is set): the bytes of `run` never change again, are put as one block of their own, and
/// stay in
/// memory until the commit that refers to the block is acknowledged.
@LoopActor
final class DirtyBlock {
    /// Where a run is stored.
    struct Place {
        var key: BlockKey
        /// Of the block, in bytes.
        var blockLength: Int
        /// Where the run starts in the block.
        var blockOffset: Int
        /// All of the block, where it holds other runs as well.
        var pack: Slice?
    }

    /// Where the buffer's first byte lies in the file.
    let start: UInt64
    private(set) var buffer: Buffer
    private let meter: DirtyMeter
    /// What is put, in file offsets; nil while the block is open.
    private(set) var run: Range<UInt64>?
    /// The stored block that holds the run, once there is one.
    private(set) var place: Place?
    private var mustPutAgain = false
    private(set) var isPutting = false
    private var waiters: [UnsafeContinuation<Result<BlockKey, BlocksError>, Never>] = []

    /// An open block that takes over a buffer which nobody else writes to any more.
    init(adopting buffer: Buffer, start: UInt64, meter: DirtyMeter) {
        self.start = start
        self.meter = meter
        self.buffer = buffer
        meter.add(buffer.capacity)
    }

    init(start: UInt64, capacity: Int, meter: DirtyMeter) {
        self.start = start
        self.meter = meter
        buffer = BufferPool.shared.buffer(capacity: capacity)
        meter.add(buffer.capacity)
    }

    /// A frozen block of `run` in memory that does not change any more.
    init(frozen buffer: Buffer, start: UInt64, run: Range<UInt64>, meter: DirtyMeter) {
        self.start = start
        self.meter = meter
        self.buffer = buffer
        self.run = run
        meter.add(buffer.capacity)
    }

    deinit { meter.subtract(buffer.capacity) }

    var isOpen: Bool { run == nil }

    /// The block's name, once it is stored.
    var key: BlockKey? { place?.key }

    /// The bytes of the frozen run.
    var content: Slice {
        guard let run else { preconditionFailure("only a frozen block has content") }
        return Slice(buffer: buffer, offset: Int(run.lowerBound - start), count: run.count)
    }

    /// The run was stored together with others.
    func noteStored(_ place: Place) { self.place = place }

    /// Copies bytes in at a file offset; the buffer grows, to `capacityMax` at most.
    func store(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, capacityMax: Int) {
        let position = Int(offset - start)
        let end = position + bytes.count
        if end > buffer.capacity {
            let larger = BufferPool.shared.buffer(capacity: min(max(end, buffer.capacity * 2), max(capacityMax, end)))
            memcpy(larger.base, buffer.base, buffer.capacity)
            meter.add(larger.capacity - buffer.capacity)
            buffer = larger
        }
        if let source = bytes.baseAddress { memcpy(buffer.base + position, source, bytes.count) }
    }

    /// From now on the bytes do not change.
    func freeze(_ run: Range<UInt64>) { self.run = run }

    /// The bytes of a range of the file. Shared with the buffer if it is frozen, else copied, because a later write may change them.
    func slice(_ range: Range<UInt64>) -> Slice {
        let part = Slice(buffer: buffer, offset: Int(range.lowerBound - start), count: range.count)
        return isOpen ? part.withBytes { BufferPool.shared.buffer(copying: $0).slice } : part
    }

    /// Stores the frozen run. Callers share one put; after a failure the next call tries again.
    func put(through blocks: any BlockClient, slots: Slots) async throws(BlocksError) -> BlockKey {
        if let key, !mustPutAgain { return key }
        if isPutting {
            let result: Result<BlockKey, BlocksError> = await withUnsafeContinuation { waiters.append($0) }
            return try result.get()
        }
        isPutting = true
        await slots.take()
        let content = place?.pack ?? content
        let result: Result<BlockKey, BlocksError>
        do {
            let stored = try await blocks.put(content)
            mustPutAgain = false
            if place == nil { place = Place(key: stored, blockLength: content.count, blockOffset: 0, pack: nil) }
            result = .success(stored)
        } catch {
            result = .failure(error)
        }
        slots.give()
        isPutting = false
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume(returning: result) }
        return try result.get()
    }

    /// The block was deleted behind the commit's back: it must be put again.
    func putAgain() { mustPutAgain = true }
}
