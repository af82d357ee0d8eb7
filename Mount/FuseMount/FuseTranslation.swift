import CFuse
import Glibc
import Namespace
import Synchronization

/// What libfuse 3.14 has no name of: all requests and answers pass through here (`fuse_session_custom_io`).
///
/// - Answers to requests that have come through a queue (`RequestQueues`) go back there.
/// - At INIT, bits are added to the answer that the kernel offered.
/// - FUSE_TMPFILE (Linux 6.1), which libfuse would answer with ENOSYS, becomes FUSE_CREATE, which has the same layout. The kernel gives such a file the
///   name "/" (`slash_name`, fs/dcache.c), which none can have.
/// - FUSE_STATX (Linux 6.6), which asks for the time of birth as well, becomes FUSE_GETATTR, whose layout is the beginning of its own; the answer gets
///   the other layout.
///
/// Layouts are those of linux/fuse.h, all in the machine's byte order: `fuse_in_header` (40 bytes: length, opcode, unique, …) before
/// `fuse_init_in` (major, minor, max_readahead, flags, flags2, …); `fuse_out_header` (16 bytes: length, error, unique) and `fuse_init_out`
/// (major, minor, max_readahead, flags, four words, flags2, …) as two parts.
final class FuseTranslation: Sendable {
    private static let initOpcode: UInt32 = 26
    private static let attributesOpcode: UInt32 = 3
    private static let createOpcode: UInt32 = 35
    private static let temporaryOpcode: UInt32 = 51
    private static let statusOpcode: UInt32 = 52
    private static let opcodeOffset = 4
    /// In requests and in answers.
    private static let numberOffset = 8
    /// In answers.
    private static let errorOffset = 4
    private static let requestHeaderBytes = 40
    private static let answerHeaderBytes = 16
    private static let minorOffset = 4
    private static let flagsOffset = 12
    private static let answerWriteOffset = 20
    private static let answerPagesOffset = 28
    private static let requestHighFlagsOffset = 16
    private static let answerHighFlagsOffset = 32

    /// FUSE_PARALLEL_DIROPS: looking names up and listing in one directory at a time by several programs. Libfuse before 3.17 knows it but does not tell the kernel
    /// (https://github.com/libfuse/libfuse/pull/861).
    private static let parallelDirectories: UInt64 = 1 << 18
    /// FUSE_HANDLE_KILLPRIV_V2, Linux 5.12: set-id bits and capabilities are taken away by the filesystem, which does it with every change of content or
    /// owner (`FileOperations.dropPrivileges`). Without it the kernel asks for a file's capabilities before each write(2), and goes by a mode that another
    /// machine may have changed.
    private static let killPrivileges: UInt64 = 1 << 28
    /// FUSE_INIT_EXT: the upper flags count.
    private static let extended: UInt64 = 1 << 30
    /// FUSE_DIRECT_IO_ALLOW_MMAP, Linux 6.6: what bypasses the kernel's pages (O_DIRECT, O_APPEND) can be mapped shared all the same.
    private static let mapsDirect: UInt64 = 1 << 36

    /// FUSE_OVER_IO_URING, Linux 6.14.
    private static let queued: UInt64 = 1 << 41
    /// FUSE_MIN_READ_BUFFER.
    private static let requestMin = 8192

    /// What a file is called that is to have no name.
    static let noName: [UInt8] = [0x2F]

    /// The number of an INIT that is not answered; 0: none.
    private let number = Atomic<UInt64>(0)
    private let offered = Atomic<UInt64>(0)
    /// Whether requests could come through queues.
    private let allowsQueues = Atomic<Bool>(false)
    private let accepted = Atomic<UInt64>(0)
    /// Numbers of the requests for a status that are not answered, and how many.
    private let statusRequests = Mutex<Set<UInt64>>([])
    private let statusCount = Atomic<Int>(0)
    /// When the inode was made whose attributes are answered next. Set and used on the loop, one answer at a time.
    private let created = Atomic<Timestamp>(0)

    let queues: RequestQueues
    let acceptance = Acceptance()

    init(queues: RequestQueues) { self.queues = queues }

    /// Before the filesystem is mounted: the queues are open. If the kernel does not offer any, they are closed.
    func allowQueues() { allowsQueues.store(true, ordering: .relaxed) }

    /// Whether there will be queues. Right once INIT has been read.
    var offersQueues: Bool { allowsQueues.load(ordering: .relaxed) && offered.load(ordering: .relaxed) & Self.queued != 0 }

    /// Whether requests come through queues. Right once INIT is answered.
    var hasQueues: Bool { accepted.load(ordering: .relaxed) & Self.queued != 0 }

    /// Whether the kernel leaves set-id bits and capabilities to us.
    var leavesPrivileges: Bool { accepted.load(ordering: .relaxed) & Self.killPrivileges != 0 }

    /// Before attributes are answered.
    func willAnswer(created: Timestamp) { self.created.store(created, ordering: .relaxed) }

    /// Has a mounted session's requests pass through here. Its userdata must be a `FuseSession`.
    static func install(on session: OpaquePointer?) -> Bool {
        var calls = fuse_custom_io()
        calls.read = { descriptor, buffer, size, data in
            let count = Glibc.read(descriptor, buffer, size)
            if count >= FuseTranslation.requestHeaderBytes, let buffer, let data {
                Unmanaged<FuseSession>.fromOpaque(data).takeUnretainedValue().translation.look(UnsafeMutableRawBufferPointer(start: buffer, count: count))
            }
            return count
        }
        calls.writev = { descriptor, parts, count, data in
            guard let parts, let data else { return Glibc.writev(descriptor, parts, count) }
            let session = Unmanaged<FuseSession>.fromOpaque(data).takeUnretainedValue()
            return session.translation.send(UnsafeBufferPointer(start: parts, count: Int(count)), to: descriptor, of: session)
        }
        return fuse_session_custom_io(session, &calls, fuse_session_fd(session)) == 0
    }

    /// At a request of the kernel, before libfuse sees it.
    func look(_ request: UnsafeMutableRawBufferPointer) {
        let opcode = request.loadUnaligned(fromByteOffset: Self.opcodeOffset, as: UInt32.self)
        if opcode == Self.temporaryOpcode { request.storeBytes(of: Self.createOpcode, toByteOffset: Self.opcodeOffset, as: UInt32.self) }
        if opcode == Self.statusOpcode {
            request.storeBytes(of: Self.attributesOpcode, toByteOffset: Self.opcodeOffset, as: UInt32.self)
            let number = request.loadUnaligned(fromByteOffset: Self.numberOffset, as: UInt64.self)
            statusRequests.withLock { _ = $0.insert(number) }
            statusCount.add(1, ordering: .relaxed)
        }
        guard opcode == Self.initOpcode, request.count >= Self.requestHeaderBytes + Self.requestHighFlagsOffset + 4 else { return }
        func word(_ offset: Int) -> UInt64 { UInt64(request.loadUnaligned(fromByteOffset: Self.requestHeaderBytes + offset, as: UInt32.self)) }
        let flags = word(Self.flagsOffset)
        if word(Self.minorOffset) < UInt64(RequestQueues.protocolMinor) { allowsQueues.store(false, ordering: .relaxed) }
        offered.store(flags & Self.extended != 0 ? flags | word(Self.requestHighFlagsOffset) << 32 : flags, ordering: .relaxed)
        number.store(request.loadUnaligned(fromByteOffset: Self.numberOffset, as: UInt64.self), ordering: .relaxed)
    }

    /// Gives the kernel an answer.
    private func send(_ parts: UnsafeBufferPointer<iovec>, to descriptor: Int32, of session: FuseSession) -> Int {
        if number.load(ordering: .relaxed) != 0, let error = amend(parts) {
            let written = write(parts, descriptor)
            let code = written > 0 ? -error : errno
            if hasQueues, written > 0 { session.serveQueues(payloadBytes: Self.largest(parts)) } else { queues.close() }
            acceptance.finish(code)
            return written
        }
        guard isStatus(parts), parts.count == 2, parts[1].iov_len == StatusAnswer.attributesBytes, let header = parts[0].iov_base,
            let attributes = parts[1].iov_base
        else { return write(parts, descriptor) }
        header.storeBytes(of: UInt32(Self.answerHeaderBytes + StatusAnswer.bytes), as: UInt32.self)
        return withUnsafeTemporaryAllocation(byteCount: StatusAnswer.bytes, alignment: 8) { answer in
            guard let base = answer.baseAddress else { return -1 }
            StatusAnswer.make(base, from: attributes, created: created.load(ordering: .relaxed))
            return [parts[0], iovec(iov_base: base, iov_len: StatusAnswer.bytes)].withUnsafeBufferPointer { write($0, descriptor) }
        }
    }

    /// To where the request came from.
    private func write(_ parts: UnsafeBufferPointer<iovec>, _ descriptor: Int32) -> Int {
        if hasQueues, let count = queues.answer(parts) { return count }
        return Glibc.writev(descriptor, parts.baseAddress, Int32(parts.count))
    }

    /// Whether an answer is one to a request for a status, which then counts as answered.
    private func isStatus(_ parts: UnsafeBufferPointer<iovec>) -> Bool {
        guard statusCount.load(ordering: .relaxed) > 0, let first = parts.first, first.iov_len == Self.answerHeaderBytes, let header = first.iov_base
        else { return false }
        let number = header.loadUnaligned(fromByteOffset: Self.numberOffset, as: UInt64.self)
        guard statusRequests.withLock({ $0.remove(number) }) != nil else { return false }
        statusCount.subtract(1, ordering: .relaxed)
        return true
    }

    /// At an answer, before the kernel sees it. Libfuse writes the answer to INIT on the thread that read the request, before it reads another.
    /// - Returns: the negative error number in it, 0 if there is none; nil if it is not that one.
    private func amend(_ parts: UnsafeBufferPointer<iovec>) -> Int32? {
        guard let first = parts.first, first.iov_len == Self.answerHeaderBytes, let header = first.iov_base,
            header.loadUnaligned(fromByteOffset: Self.numberOffset, as: UInt64.self) == number.load(ordering: .relaxed)
        else { return nil }
        number.store(0, ordering: .relaxed)
        let error = header.loadUnaligned(fromByteOffset: Self.errorOffset, as: Int32.self)
        guard parts.count == 2, let body = parts[1].iov_base, parts[1].iov_len >= Self.answerHighFlagsOffset + 4 else { return error }
        var known = Self.parallelDirectories | Self.killPrivileges | Self.mapsDirect
        if offersQueues { known |= Self.queued }
        var wanted = offered.load(ordering: .relaxed) & known
        accepted.store(wanted, ordering: .relaxed)
        if wanted >> 32 != 0 { wanted |= Self.extended }
        for (offset, bits) in [(Self.flagsOffset, UInt32(truncatingIfNeeded: wanted)), (Self.answerHighFlagsOffset, UInt32(wanted >> 32))] {
            let flags = body.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            body.storeBytes(of: flags | bits, toByteOffset: offset, as: UInt32.self)
        }
        return error
    }

    /// The largest request or answer without its headers, in bytes, by an answer to INIT (`fuse_uring_create`, fs/fuse/dev_uring.c).
    private static func largest(_ parts: UnsafeBufferPointer<iovec>) -> Int {
        guard let body = parts[1].iov_base else { return requestMin }
        let write = body.loadUnaligned(fromByteOffset: answerWriteOffset, as: UInt32.self)
        let pages = body.loadUnaligned(fromByteOffset: answerPagesOffset, as: UInt16.self)
        return max(requestMin, Int(write), Int(pages) * RequestSlot.pageBytes)
    }
}
