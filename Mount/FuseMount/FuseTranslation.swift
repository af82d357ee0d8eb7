import CFuse
import Glibc
import Namespace
import Synchronization

/// What libfuse 3.14 has no name of: all requests and answers pass through here (`fuse_session_custom_io`).
///
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
    private static let requestHeaderBytes = 40
    private static let answerHeaderBytes = 16
    private static let flagsOffset = 12
    private static let requestHighFlagsOffset = 16
    private static let answerHighFlagsOffset = 32

    /// FUSE_HANDLE_KILLPRIV_V2, Linux 5.12: set-id bits and capabilities are taken away by the filesystem, which does it with every change of content or
    /// owner (`FileOperations.dropPrivileges`). Without it the kernel asks for a file's capabilities before each write(2), and goes by a mode that another
    /// machine may have changed.
    private static let killPrivileges: UInt64 = 1 << 28
    /// FUSE_INIT_EXT: the upper flags count.
    private static let extended: UInt64 = 1 << 30
    /// FUSE_DIRECT_IO_ALLOW_MMAP, Linux 6.6: what bypasses the kernel's pages (O_DIRECT, O_APPEND) can be mapped shared all the same.
    private static let mapsDirect: UInt64 = 1 << 36

    /// What a file is called that is to have no name.
    static let noName: [UInt8] = [0x2F]

    /// The number of an INIT that is not answered; 0: none.
    private let number = Atomic<UInt64>(0)
    private let offered = Atomic<UInt64>(0)
    private let accepted = Atomic<UInt64>(0)
    /// Numbers of the requests for a status that are not answered, and how many.
    private let statusRequests = Mutex<Set<UInt64>>([])
    private let statusCount = Atomic<Int>(0)
    /// When the inode was made whose attributes are answered next. Set and used on the loop, one answer at a time.
    private let created = Atomic<Timestamp>(0)

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
                FuseTranslation.of(data).look(UnsafeMutableRawBufferPointer(start: buffer, count: count))
            }
            return count
        }
        calls.writev = { descriptor, parts, count, data in
            guard let parts, let data else { return Glibc.writev(descriptor, parts, count) }
            return FuseTranslation.of(data).send(UnsafeBufferPointer(start: parts, count: Int(count)), to: descriptor)
        }
        return fuse_session_custom_io(session, &calls, fuse_session_fd(session)) == 0
    }

    private static func of(_ data: UnsafeMutableRawPointer) -> FuseTranslation {
        Unmanaged<FuseSession>.fromOpaque(data).takeUnretainedValue().translation
    }

    /// At a request of the kernel, before libfuse sees it.
    private func look(_ request: UnsafeMutableRawBufferPointer) {
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
        offered.store(flags & Self.extended != 0 ? flags | word(Self.requestHighFlagsOffset) << 32 : flags, ordering: .relaxed)
        number.store(request.loadUnaligned(fromByteOffset: Self.numberOffset, as: UInt64.self), ordering: .relaxed)
    }

    /// Gives the kernel an answer.
    private func send(_ parts: UnsafeBufferPointer<iovec>, to descriptor: Int32) -> Int {
        amend(parts)
        guard isStatus(parts), parts.count == 2, parts[1].iov_len == StatusAnswer.attributesBytes, let header = parts[0].iov_base,
            let attributes = parts[1].iov_base
        else { return Glibc.writev(descriptor, parts.baseAddress, Int32(parts.count)) }
        header.storeBytes(of: UInt32(Self.answerHeaderBytes + StatusAnswer.bytes), as: UInt32.self)
        return withUnsafeTemporaryAllocation(byteCount: StatusAnswer.bytes, alignment: 8) { answer in
            guard let base = answer.baseAddress else { return -1 }
            StatusAnswer.make(base, from: attributes, created: created.load(ordering: .relaxed))
            let whole = [parts[0], iovec(iov_base: base, iov_len: StatusAnswer.bytes)]
            return Glibc.writev(descriptor, whole, Int32(whole.count))
        }
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
    private func amend(_ parts: UnsafeBufferPointer<iovec>) {
        let number = number.load(ordering: .relaxed)
        guard number != 0, parts.count == 2, parts[0].iov_len == Self.answerHeaderBytes, let header = parts[0].iov_base,
            header.loadUnaligned(fromByteOffset: Self.numberOffset, as: UInt64.self) == number
        else { return }
        self.number.store(0, ordering: .relaxed)
        guard let body = parts[1].iov_base, parts[1].iov_len >= Self.answerHighFlagsOffset + 4 else { return }
        var wanted = offered.load(ordering: .relaxed) & (Self.killPrivileges | Self.mapsDirect)
        accepted.store(wanted, ordering: .relaxed)
        if wanted >> 32 != 0 { wanted |= Self.extended }
        for (offset, bits) in [(Self.flagsOffset, UInt32(truncatingIfNeeded: wanted)), (Self.answerHighFlagsOffset, UInt32(wanted >> 32))] {
            let flags = body.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            body.storeBytes(of: flags | bits, toByteOffset: offset, as: UInt32.self)
        }
    }
}
