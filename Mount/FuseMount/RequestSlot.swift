import CFuse
import Glibc

/// A place for one request of the kernel and then for its answer, in memory that the kernel writes and reads.
///
/// A page and then `payloadBytes`. The page begins with `fuse_uring_req_header` (include/uapi/linux/fuse.h of Linux 6.14): the header of the request or of
/// the answer (128 bytes), the first argument of the operation (128), flags (8), the request's number (8), bytes of payload (4), 12 unused ones. The
/// addresses of both parts follow, as two iovecs. At the end of the page, right before the payload, header and first argument are put so that the
/// request is in one piece, as libfuse expects it. On the thread of its queue, but for `fill`.
final class RequestSlot: @unchecked Sendable {
    static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
    private static let headerBytes = 288
    private static let argumentOffset = 128
    private static let argumentMax = 128
    private static let numberOffset = 264
    private static let countOffset = 272
    private static let partsOffset = 512
    private static let requestHeaderBytes = 40
    private static let answerHeaderBytes = 16
    /// Slots of a thread that keep their memory; the others may keep so many bytes.
    private static let keptSlots = 16
    private static let keptBytes = 64 << 10

    /// Whose thread it belongs to.
    let queue: RequestQueue
    /// The kernel's queue.
    let kernelQueue: UInt16
    /// Among the slots of its thread.
    let index: Int
    private let memory: UnsafeMutableRawPointer
    private let payloadBytes: Int
    private var keepsMemory: Bool { index < Self.keptSlots }
    /// Bytes of payload that may hold memory.
    private var used = 0

    /// nil if there is no memory.
    init?(_ queue: RequestQueue, kernelQueue: UInt16, index: Int, payloadBytes: Int) {
        let memory = mmap(
            nil, Self.pageBytes + payloadBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let memory, memory != MAP_FAILED else { return nil }
        self.memory = memory
        self.queue = queue
        self.kernelQueue = kernelQueue
        self.index = index
        self.payloadBytes = payloadBytes
        parts[0] = iovec(iov_base: memory, iov_len: Self.headerBytes)
        parts[1] = iovec(iov_base: payload, iov_len: payloadBytes)
    }

    deinit { munmap(memory, Self.pageBytes + payloadBytes) }

    /// Two: where the header is, and the payload.
    var parts: UnsafeMutablePointer<iovec> { (memory + Self.partsOffset).assumingMemoryBound(to: iovec.self) }

    private var payload: UnsafeMutableRawPointer { memory + Self.pageBytes }

    /// The number of the request that it holds.
    var number: UInt64 { memory.load(fromByteOffset: Self.numberOffset, as: UInt64.self) }

    /// The request that has come, in one piece, until it is answered; nil if it makes no sense.
    func request() -> UnsafeMutableRawBufferPointer? {
        let total = Int(memory.load(as: UInt32.self))
        let content = Int(memory.load(fromByteOffset: Self.countOffset, as: UInt32.self))
        let argument = total - Self.requestHeaderBytes - content
        guard content <= payloadBytes, (0...Self.argumentMax).contains(argument) else { return nil }
        giveBack(beyond: content)
        used = max(used, content)
        let start = payload - argument - Self.requestHeaderBytes
        memcpy(start, memory, Self.requestHeaderBytes)
        memcpy(payload - argument, memory + Self.argumentOffset, argument)
        return UnsafeMutableRawBufferPointer(start: start, count: total)
    }

    /// Takes an answer: `fuse_out_header` (16 bytes: length, error, number), and what belongs to it. Any thread, once for each request.
    func fill(_ answer: UnsafeBufferPointer<iovec>) {
        guard let header = answer.first?.iov_base, answer[0].iov_len == Self.answerHeaderBytes else { return fail(EIO) }
        var count = 0
        for part in answer.dropFirst() {
            guard let base = part.iov_base, part.iov_len <= payloadBytes - count else { return fail(EIO) }
            memcpy(payload + count, base, part.iov_len)
            count += part.iov_len
        }
        giveBack(beyond: count)
        used = max(used, count)
        memcpy(memory, header, Self.answerHeaderBytes)
        memory.storeBytes(of: UInt32(count), toByteOffset: Self.countOffset, as: UInt32.self)
    }

    /// Takes an error for the answer.
    func fail(_ code: Int32) {
        let number = number
        memory.storeBytes(of: UInt32(Self.answerHeaderBytes), as: UInt32.self)
        memory.storeBytes(of: -code, toByteOffset: 4, as: Int32.self)
        memory.storeBytes(of: number, toByteOffset: 8, as: UInt64.self)
        memory.storeBytes(of: 0, toByteOffset: Self.countOffset, as: UInt32.self)
    }

    /// Gives the memory behind so many bytes of payload back, if much of it was used. Only while the slot holds a request: afterwards the kernel may put the
    /// next one into it at any time.
    private func giveBack(beyond count: Int) {
        guard !keepsMemory, used > Self.keptBytes else { return }
        let start = (count + Self.pageBytes - 1) / Self.pageBytes * Self.pageBytes
        if start < payloadBytes { madvise(payload + start, payloadBytes - start, MADV_DONTNEED) }
        used = count
    }
}
