import CFuse
import Glibc
import Synchronization

/// Asks the kernel at INIT for what libfuse 3.14 knows no name of: the request and its answer pass through here
/// (`fuse_session_custom_io`), and one bit is added to the answer if the kernel offered it.
///
/// The bit is FUSE_HANDLE_KILLPRIV_V2 (linux/fuse.h): set-id bits and capabilities are taken away by the filesystem, which does it with every change of
/// content or owner (`FileOperations.dropPrivileges`). Without it the kernel asks for a file's capabilities before each write(2), and goes by a mode
/// that another machine may have changed.
///
/// Layouts are those of linux/fuse.h, all in the machine's byte order: `fuse_in_header` (40 bytes: length, opcode, unique, …) before
/// `fuse_init_in` (major, minor, max_readahead, flags, …); `fuse_out_header` (16 bytes: length, error, unique) and `fuse_init_out`
/// (major, minor, max_readahead, flags, …) as two parts.
final class FuseInit: Sendable {
    private static let initOpcode: UInt32 = 26
    private static let requestHeaderBytes = 40
    private static let answerHeaderBytes = 16
    /// Of the flags in `fuse_init_in` and `fuse_init_out`.
    private static let flagsOffset = 12
    private static let killPrivilegesV2: UInt32 = 1 << 28

    /// The number of an INIT that was offered the bit and is not answered; 0: none.
    private let offered = Atomic<UInt64>(0)
    private let accepted = Atomic<Bool>(false)

    /// Whether the kernel leaves set-id bits and capabilities to us.
    var leavesPrivileges: Bool { accepted.load(ordering: .relaxed) }

    /// Has a mounted session's requests pass through here. Its userdata must be a `FuseSession`.
    static func install(on session: OpaquePointer?) -> Bool {
        var calls = fuse_custom_io()
        calls.read = { descriptor, buffer, size, data in
            let count = Glibc.read(descriptor, buffer, size)
            if count > 0, let buffer, let data { FuseInit.of(data).look(UnsafeRawBufferPointer(start: buffer, count: count)) }
            return count
        }
        calls.writev = { descriptor, parts, count, data in
            if let parts, let data { FuseInit.of(data).amend(UnsafeBufferPointer(start: parts, count: Int(count))) }
            return Glibc.writev(descriptor, parts, count)
        }
        return fuse_session_custom_io(session, &calls, fuse_session_fd(session)) == 0
    }

    private static func of(_ data: UnsafeMutableRawPointer) -> FuseInit {
        Unmanaged<FuseSession>.fromOpaque(data).takeUnretainedValue().beginning
    }

    /// At a request of the kernel, before libfuse sees it.
    private func look(_ request: UnsafeRawBufferPointer) {
        guard request.loadUnaligned(fromByteOffset: 4, as: UInt32.self) == Self.initOpcode,
            request.count >= Self.requestHeaderBytes + Self.flagsOffset + 4
        else { return }
        let flags = request.loadUnaligned(fromByteOffset: Self.requestHeaderBytes + Self.flagsOffset, as: UInt32.self)
        guard flags & Self.killPrivilegesV2 != 0 else { return }
        offered.store(request.loadUnaligned(fromByteOffset: 8, as: UInt64.self), ordering: .relaxed)
    }

    /// At an answer, before the kernel sees it. Libfuse writes the answer to INIT on the thread that read the request, before it reads another.
    private func amend(_ parts: UnsafeBufferPointer<iovec>) {
        let number = offered.load(ordering: .relaxed)
        guard number != 0, parts.count == 2, parts[0].iov_len == Self.answerHeaderBytes, let header = parts[0].iov_base,
            header.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == number
        else { return }
        offered.store(0, ordering: .relaxed)
        guard let body = parts[1].iov_base, parts[1].iov_len >= Self.flagsOffset + 4 else { return }
        let flags = body.loadUnaligned(fromByteOffset: Self.flagsOffset, as: UInt32.self)
        body.storeBytes(of: flags | Self.killPrivilegesV2, toByteOffset: Self.flagsOffset, as: UInt32.self)
        accepted.store(true, ordering: .relaxed)
    }
}
