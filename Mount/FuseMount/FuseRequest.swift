import Bytes
import CFuse
import Filesystem
import Glibc
import Model
import Namespace
import Runtime
import Synchronization
import Telemetry

/// One request of the kernel, answered exactly once.
///
/// It is made on a FUSE thread; from then on everything but the interrupt callback happens on the loop. The first answer goes to
/// the kernel, and a later one (a result that comes after an interrupt was answered with EINTR) is refused by `false`, so that
/// whoever made the result can take it back. A request that nobody answers is answered with EIO when it goes.
///
/// Not a noncopyable struct, because such a value cannot be captured by the closure of a task.
///
/// Sendable without checking: `pointer` is written before the request is shared and afterwards touched on the loop only, or by
/// `deinit`, when nobody else can.
final class FuseRequest: @unchecked Sendable {
    /// What answering early would mean.
    enum Effect: Sendable {
        /// The caller may be told EINTR as soon as a signal asks it to stop.
        case query
        /// Something is changed, and goes on being changed: EINTR only where the caller dies and will not be misled.
        case change
        /// Waiting for a lock: every signal ends it, since alarm(2) is how programs limit it. Whether the lock was granted just before is found out first;
        /// the system call is restarted where the handler wants that (fuse_setlk, fs/fuse/file.c).
        case locking
        /// fsync(2), which may be asked again: interrupted like a query, but also served while an orderly stop waits for open files.
        case syncing
        /// close(2): interrupted like a change, served like `syncing`.
        case closing
        /// Never answered early, always served.
        case housekeeping
    }

    let caller: Caller
    /// Raised where `effect` is `.locking`.
    let interrupt = Interrupt()
    private let session: FuseSession
    private let thread: pid_t
    private let effect: Effect
    private let answered = Atomic<Bool>(false)
    private var pointer: OpaquePointer?

    /// nil for a null pointer, which libfuse never passes.
    private init?(_ request: OpaquePointer?, _ effect: Effect) {
        guard let request, let session = FuseSession.of(request), let context = fuse_req_ctx(request) else { return nil }
        self.session = session
        self.effect = effect
        pointer = request
        caller = Caller(uid: context.pointee.uid, gid: context.pointee.gid, umask: UInt16(context.pointee.umask & 0o777))
        thread = context.pointee.pid
    }

    deinit {
        guard let pointer else { return }
        session.log.error("a request was not answered")
        fuse_reply_err(pointer, EIO)
    }

    /// Runs `body` on the loop to answer a request. On a FUSE thread; returns at once. What `body` throws is the answer.
    static func serve(
        _ pointer: OpaquePointer?, _ effect: Effect,
        _ body: @escaping @Sendable @LoopActor (FuseRequest, any FileOperations) async throws(Errno) -> Void
    ) {
        guard let request = FuseRequest(pointer, effect) else { return }
        if effect != .housekeeping {
            if request.session.refusesWork && (effect == .query || effect == .change || effect == .locking) {
                request.refuse(ENOTCONN)
                return
            }
            request.watchInterrupts()
        }
        Task { @LoopActor in
            do throws(Errno) {
                try await body(request, request.session.operations)
            } catch {
                request.fail(error)
            }
        }
    }

    /// Answers on the FUSE thread, for what needs no look at the filesystem.
    static func refuse(_ pointer: OpaquePointer?, _ code: Int32) {
        if let pointer { fuse_reply_err(pointer, code) }
    }

    private func refuse(_ code: Int32) {
        guard let request = pointer else { return }
        pointer = nil
        answered.store(true, ordering: .relaxed)
        fuse_reply_err(request, code)
    }

    // MARK: The caller

    /// The caller's groups; nil for root, whom they do not restrict.
    static func restrictingGroups(_ request: OpaquePointer?) -> [UInt32]? {
        guard let request, let context = fuse_req_ctx(request), context.pointee.uid != 0 else { return nil }
        var groups = [gid_t](repeating: 0, count: 256)
        var count = Int(fuse_req_getgroups(request, Int32(groups.count), &groups))
        if count > groups.count {
            groups = [gid_t](repeating: 0, count: count)
            count = Int(fuse_req_getgroups(request, Int32(count), &groups))
        }
        return groups.prefix(max(0, min(count, groups.count))) + [context.pointee.gid]
    }

    /// The caller as one who changes a file. Root stands for CAP_FSETID.
    @LoopActor func changer(keepsSetID: Bool? = nil) -> Changer {
        Changer(keepsSetID: keepsSetID ?? (caller.uid == 0)) { [self] gid in
            caller.gid == gid || Self.restrictingGroups(pointer)?.contains(gid) ?? true
        }
    }

    // MARK: Interrupts

    /// Has libfuse tell about an interrupt. The registration owns a reference, given back by `take`; so the request cannot go while
    /// libfuse may still call.
    private func watchInterrupts() {
        guard let pointer else { return }
        fuse_req_interrupt_func(
            pointer,
            { _, data in
                guard let data else { return }
                let request = Unmanaged<FuseRequest>.fromOpaque(data).takeUnretainedValue()
                // libfuse holds the request's lock, which answering takes.
                EventLoop.queueingOnly { request.applySignals() }
                if request.effect != .locking { request.session.interrupts.add(request) }
            }, Unmanaged.passRetained(self).toOpaque())
    }

    var isAnswered: Bool { answered.load(ordering: .relaxed) }

    /// Looks at the caller's signals and answers with EINTR if they ask for it. Any thread.
    func applySignals() {
        if effect == .locking {
            Task { @LoopActor in interrupt.raise() }
            return
        }
        let wish = StopWish.of(thread: thread)
        switch (wish, effect) {
        case (.none, _), (_, .housekeeping), (_, .locking), (.interrupt, .change), (.interrupt, .closing): return
        case (.fatal, _), (.interrupt, .query), (.interrupt, .syncing): Task { @LoopActor in fail(Errno(rawValue: EINTR)) }
        }
    }

    /// The right to answer; nil if it was used. Afterwards libfuse no longer calls about interrupts:
    /// fuse_req_interrupt_func waits for a call that is under way.
    @LoopActor private func take() -> OpaquePointer? {
        guard let request = pointer else { return nil }
        pointer = nil
        answered.store(true, ordering: .relaxed)
        if effect != .housekeeping {
            fuse_req_interrupt_func(request, nil, nil)
            Unmanaged.passUnretained(self).release()
        }
        return request
    }

    // MARK: Answers. All return whether the kernel took the answer.

    @LoopActor @discardableResult func fail(_ error: Errno) -> Bool {
        guard let request = take() else { return false }
        return fuse_reply_err(request, error.rawValue) == 0
    }

    @LoopActor @discardableResult func done() -> Bool { fail(Errno(rawValue: 0)) }

    /// The kernel counts one lookup of the inode if it takes this.
    @LoopActor func reply(_ entry: EntryReply) -> Bool {
        guard let request = take() else { return false }
        var parameters = session.parameters(of: entry)
        return fuse_reply_entry(request, &parameters) == 0
    }

    /// ENOENT for a lookup, which the kernel may go by for so many nanoseconds.
    @LoopActor func reply(absentFor validity: UInt64) {
        guard session.canInvalidateEntries, validity > 0 else {
            fail(Errno(rawValue: ENOENT))
            return
        }
        guard let request = take() else { return }
        // Inode 0 says that there is none.
        var parameters = fuse_entry_param()
        parameters.entry_timeout = seconds(validity)
        fuse_reply_entry(request, &parameters)
    }

    @LoopActor func reply(_ entry: EntryReply, _ open: OpenReply) -> Bool {
        guard let request = take() else { return false }
        var parameters = session.parameters(of: entry)
        var file = open.fileInfo()
        return fuse_reply_create(request, &parameters, &file) == 0
    }

    @LoopActor func reply(_ open: OpenReply) -> Bool {
        guard let request = take() else { return false }
        var file = open.fileInfo()
        return fuse_reply_open(request, &file) == 0
    }

    @LoopActor func reply(directory handle: UInt64) -> Bool {
        guard let request = take() else { return false }
        var file = fuse_file_info()
        file.fh = handle
        return fuse_reply_open(request, &file) == 0
    }

    @LoopActor func reply(_ reply: AttributesReply) {
        guard let request = take() else { return }
        var status = reply.attributes.status
        session.translation.willAnswer(created: reply.attributes.created)
        fuse_reply_attr(request, &status, seconds(reply.validity))
    }

    @LoopActor func reply(changed: AttributesReply) {
        reply(AttributesReply(attributes: changed.attributes, validity: session.canKeepChanged ? changed.validity : 0))
    }

    @LoopActor func reply(lock: flock) {
        guard let request = take() else { return }
        var lock = lock
        fuse_reply_lock(request, &lock)
    }

    @LoopActor func reply(written count: Int) {
        guard let request = take() else { return }
        fuse_reply_write(request, count)
    }

    @LoopActor func reply(offset: UInt64) {
        guard let request = take() else { return }
        fuse_reply_lseek(request, off_t(clamping: offset))
    }

    @LoopActor func reply(target: [UInt8]) {
        guard let request = take() else { return }
        (target + [0]).withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { _ = fuse_reply_readlink(request, $0.baseAddress) }
        }
    }

    @LoopActor func reply(_ statistics: FilesystemStatistics) {
        guard let request = take() else { return }
        var status = statistics.status
        fuse_reply_statfs(request, &status)
    }

    /// The two steps of getxattr(2) and listxattr(2): the size if `room` is 0, otherwise the bytes if they fit.
    @LoopActor func reply(xattr value: [UInt8], room: Int) {
        guard room == 0 || value.count <= room else {
            fail(Errno(rawValue: ERANGE))
            return
        }
        guard let request = take() else { return }
        if room == 0 {
            fuse_reply_xattr(request, value.count)
        } else {
            value.withUnsafeBytes { _ = fuse_reply_buf(request, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count) }
        }
    }

    /// Sends slices one after another without copying them.
    @LoopActor func reply(_ slices: [Slice], atMost limit: Int) {
        let total = slices.reduce(0) { $0 + $1.count }
        guard total <= limit else {
            session.log.error("a read returned more than was asked for", ["bytes": "\(total)", "asked": "\(limit)"])
            fail(Errno(rawValue: EIO))
            return
        }
        // writev(2) takes 1024 parts, of which libfuse needs one.
        let parts = slices.count <= 1000 ? slices : [Self.joined(slices, total)]
        guard let request = take() else { return }
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: max(1, parts.count)) { vector in
            for (index, part) in parts.enumerated() {
                vector.initializeElement(at: index, to: iovec(iov_base: part.buffer.base + part.offset, iov_len: part.count))
            }
            withExtendedLifetime(parts) { _ = fuse_reply_iov(request, vector.baseAddress, Int32(parts.count)) }
        }
    }

    private static func joined(_ slices: [Slice], _ total: Int) -> Slice {
        let buffer = BufferPool.shared.buffer(capacity: total)
        for slice in slices {
            slice.withBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: buffer.storage[buffer.count...]).copyMemory(from: bytes)
            }
            buffer.count += slice.count
        }
        return buffer.slice
    }

    /// Entries as readdir(2) gets them, as many as fit in `room` bytes. The kernel counts a lookup of every inode that is handed out with
    /// attributes.
    @LoopActor func reply(_ items: [DirectoryItem], room: Int, plus: Bool, _ operations: any FileOperations) {
        guard let request = pointer else { return }
        let buffer = BufferPool.shared.buffer(capacity: room)
        var handedOut: [InodeID] = []
        for item in items {
            let known = plus && item.name != [0x2E] && item.name != [0x2E, 0x2E] ? item.entry : nil
            let size = add(item, known, plus: plus, to: buffer, room: room, request)
            guard size <= room - buffer.count else { break }
            buffer.count += size
            if let known { handedOut.append(known.attributes.inode) }
        }
        if buffer.count == 0 && !items.isEmpty {
            fail(Errno(rawValue: EINVAL))
            return
        }
        // Before the answer, since the kernel may forget what it got before this function goes on.
        for inode in handedOut { operations.retain(inode) }
        _ = take()
        if fuse_reply_buf(request, buffer.base.assumingMemoryBound(to: CChar.self), buffer.count) != 0 {
            for inode in handedOut { operations.forget(inode, count: 1) }
        }
        withExtendedLifetime(buffer) {}
    }

    /// Returns the entry's size; it was added if that was not over what was left.
    @LoopActor private func add(
        _ item: DirectoryItem, _ entry: EntryReply?, plus: Bool, to buffer: Buffer, room: Int, _ request: OpaquePointer
    ) -> Int {
        let place = (buffer.base + buffer.count).assumingMemoryBound(to: CChar.self)
        let left = room - buffer.count
        let next = off_t(truncatingIfNeeded: item.next)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: item.name.count + 1) { name in
            for (index, byte) in item.name.enumerated() { name.initializeElement(at: index, to: CChar(bitPattern: byte)) }
            name.initializeElement(at: item.name.count, to: 0)
            var parameters = fuse_entry_param()
            if let entry {
                parameters = session.parameters(of: entry)
            } else {
                // Inode 0 as the node: "no attributes given, no lookup counted" (fuse_direntplus_link, fs/fuse/readdir.c).
                parameters.attr.st_ino = numericCast(item.inode.rawValue)
                parameters.attr.st_mode = item.kind.modeBits
            }
            return plus
                ? fuse_add_direntry_plus(request, place, left, name.baseAddress, &parameters, next)
                : fuse_add_direntry(request, place, left, name.baseAddress, &parameters.attr, next)
        }
    }
}
