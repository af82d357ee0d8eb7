import Bytes
import CFuse
import Filesystem
import Glibc
import Model
import Namespace
import Runtime
import Synchronization
import Telemetry

/// A libfuse session and what its requests need. Destroyed when the last request, and whoever serves it, is gone.
///
/// Sendable without checking: `pointer` is set once, before anything else can see the session; libfuse's session functions are made
/// for several threads; the rest is immutable or atomic.
final class FuseSession: @unchecked Sendable {
    /// FUSE protocol 7.44 (Linux 6.16) brought the notification that lets all cached entries be looked up again.
    private static let epochProtocolMinor: UInt32 = 44
    /// FUSE protocol 7.45 (Linux 6.18) brought the one that has unused inodes forgotten.
    private static let pruneProtocolMinor: UInt32 = 45
    /// Linux 6.18 (FUSE protocol 7.45) keeps nothing of an answer to setattr if it was told since the question that what it knows is old
    /// (`fuse_do_setattr`, fs/fuse/dir.c). Older ones may.
    private static let orderedChangesProtocolMinor: UInt32 = 45
    /// Largest write, and by it the largest read: the kernel's limit of 256 pages.
    private static let transferBytes: UInt32 = 1 << 20
    /// Read-ahead requests under way at a time, of up to 1 MiB. In a queue each has memory of its own.
    private static let backgroundRequests: UInt32 = 64
    private static let queuedBackgroundRequests: UInt32 = 16

    /// Ignored by itself, and sent by nothing else here.
    private static let wakingSignal = SIGURG
    /// Microseconds.
    private static let wakingInterval: UInt32 = 10_000

    let operations: any FileOperations
    let options: FuseOptions
    let log: Log
    let interrupts = InterruptWatch()
    let translation: FuseTranslation
    private let serving = Mutex(Serving())
    private var pointer: OpaquePointer?
    private let draining = Atomic<Bool>(false)
    private let cachesEntries = Atomic<Bool>(false)
    private let prunes = Atomic<Bool>(false)
    private let ordersChanges = Atomic<Bool>(false)

    private struct Serving {
        /// Where it is mounted.
        var path = ""
        /// The thread in `serve`; nil before and afterwards.
        var thread: pthread_t?
    }

    init(operations: any FileOperations, options: FuseOptions, log: Log) throws(FuseMountError) {
        self.operations = operations
        self.options = options
        self.log = log
        translation = FuseTranslation(queues: RequestQueues(log: log))
        var arguments = fuse_args()
        defer { fuse_opt_free_args(&arguments) }
        for argument in ["dhtfs", "-o", options.text] where fuse_opt_add_arg(&arguments, argument) != 0 {
            throw FuseMountError(.failed, "cannot mount: out of memory")
        }
        var table = Self.handlers()
        pointer = fuse_session_new(
            &arguments, &table, MemoryLayout<fuse_lowlevel_ops>.size, Unmanaged.passUnretained(self).toOpaque())
        guard pointer != nil else { throw FuseMountError(.failed, "libfuse refused the mount options: \(LibraryLog.takeLast())") }
    }

    deinit {
        translation.queues.close()
        if let pointer { fuse_session_destroy(pointer) }
    }

    /// The session that a request belongs to.
    static func of(_ request: OpaquePointer) -> FuseSession? {
        guard let data = fuse_req_userdata(request) else { return nil }
        return Unmanaged<FuseSession>.fromOpaque(data).takeUnretainedValue()
    }

    /// Whether entries may be cached by the kernel: it has a way to be told that they changed which cannot wait for a lock.
    var canInvalidateEntries: Bool { cachesEntries.load(ordering: .acquiring) }

    /// The kernel said at INIT that it would, but does not.
    func giveUpEntries() { cachesEntries.store(false, ordering: .releasing) }

    /// Whether attributes in an answer to a change may be kept by the kernel: it disregards them if they became old on the way.
    var canKeepChanged: Bool { ordersChanges.load(ordering: .acquiring) }

    /// Whether the kernel can be made to forget inodes that nobody uses.
    var canPrune: Bool { prunes.load(ordering: .acquiring) }

    func giveUpPruning() { prunes.store(false, ordering: .releasing) }

    /// Set by an orderly stop while files are still open: nothing new is begun.
    var refusesWork: Bool { draining.load(ordering: .acquiring) }

    func refuseWork() { draining.store(true, ordering: .releasing) }

    /// mount(2), or fusermount3(1) for users who may not. Blocks.
    func mount(at path: String) throws(FuseMountError) {
        serving.withLock { $0.path = path }
        if options.usesQueues, translation.queues.open() { translation.allowQueues() }
        _ = LibraryLog.takeLast()
        guard fuse_session_mount(pointer, path) == 0 else {
            translation.queues.close()
            let reason = LibraryLog.takeLast()
            let denied = reason.contains("not permitted") || reason.contains("denied") || reason.contains("user_allow_other")
            throw FuseMountError(
                denied ? .notPermitted : .failed,
                "cannot mount at \(path): \(reason.isEmpty ? "the system refused" : reason)"
                    + (denied ? "; run as root, or without allow_other" : ""))
        }
        // The kernel holds INIT back until the first read.
        guard FuseTranslation.install(on: pointer) else {
            translation.queues.close()
            fuse_session_unmount(pointer)
            throw FuseMountError(.failed, "cannot mount at \(path): libfuse lets nobody look at its requests")
        }
    }

    /// A descriptor of our own for the session's device, for notifications. Not for child processes: the kernel ends a mount's
    /// requests when the last descriptor is closed.
    func notificationChannel() -> NotificationChannel? {
        let descriptor = fcntl(fuse_session_fd(pointer), F_DUPFD_CLOEXEC, 0)
        return descriptor < 0 ? nil : NotificationChannel(descriptor)
    }

    /// Reads and dispatches requests until the filesystem is unmounted or `leave` is called. Returns 0 or an error number. Blocks.
    func serve() -> Int32 {
        // Without SA_RESTART: what waits ends with EINTR.
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        sigaction(Self.wakingSignal, &action, nil)
        // Threads of libdispatch block most signals, and so does what they start.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, Self.wakingSignal)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        guard let configuration = fuse_loop_cfg_create() else { return ENOMEM }
        defer { fuse_loop_cfg_destroy(configuration) }
        fuse_loop_cfg_set_clone_fd(configuration, 1)
        let threads = UInt32(clamping: min(max(options.maxThreads, 1), 64))
        fuse_loop_cfg_set_max_threads(configuration, threads)
        fuse_loop_cfg_set_idle_threads(configuration, threads)
        serving.withLock { $0.thread = pthread_self() }
        let result = fuse_session_loop_mt(pointer, configuration)
        serving.withLock { $0.thread = nil }
        translation.queues.close()
        translation.acceptance.finish(ENOTCONN)
        return result < 0 ? -result : 0
    }

    /// The kernel has agreed to the queues.
    func serveQueues(payloadBytes: Int) {
        translation.queues.serve(
            RequestQueue.Service(
                device: fuse_session_fd(pointer), payloadBytes: payloadBytes,
                handle: { [self] request in
                    translation.look(request)
                    var buffer = fuse_buf()
                    buffer.mem = request.baseAddress
                    buffer.size = request.count
                    fuse_session_process_buf(pointer, &buffer)
                },
                // Nobody could use it, nor end what tries to.
                fail: { [self] in umount2(serving.withLock { $0.path }, CInt(MNT_FORCE)) }))
    }

    /// Makes `serve` return although the filesystem is not unmounted. Its thread sleeps until a signal comes; one that comes a moment too early is lost.
    func leave() {
        fuse_session_exit(pointer)
        let code = SystemThread.start("fuse leave") { [self] in
            while serving.withLock({ serving in
                guard let thread = serving.thread else { return false }
                pthread_kill(thread, Self.wakingSignal)
                return true
            }) { usleep(Self.wakingInterval) }
        }
        if code != 0 { log.error("the mount cannot be left", ["error": MountPoint.text(code)]) }
    }

    /// Unmounts lazily through libfuse, for users who may not call umount(2). Blocks.
    func unmount() { fuse_session_unmount(pointer) }

    /// On a FUSE thread, before the first request.
    fileprivate func negotiate(_ connection: inout fuse_conn_info) {
        let table = FuseCapability.negotiate(&connection)
        connection.max_write = Self.transferBytes
        connection.max_readahead = UInt32(clamping: options.readAheadKiB) &* 1024
        connection.max_background = translation.offersQueues ? Self.queuedBackgroundRequests : Self.backgroundRequests
        connection.congestion_threshold = connection.max_background * 3 / 4
        connection.time_gran = 1
        cachesEntries.store(connection.proto_minor >= Self.epochProtocolMinor, ordering: .releasing)
        ordersChanges.store(connection.proto_minor >= Self.orderedChangesProtocolMinor, ordering: .releasing)
        prunes.store(connection.proto_minor >= Self.pruneProtocolMinor, ordering: .releasing)
        log.info(
            "FUSE session begins",
            ["protocol": "\(connection.proto_major).\(connection.proto_minor)", "capabilities": table, "threads": "\(options.maxThreads)"])
    }

    private static func handlers() -> fuse_lowlevel_ops {
        var table = fuse_lowlevel_ops()
        table.`init` = { data, connection in
            guard let data, let connection else { return }
            Unmanaged<FuseSession>.fromOpaque(data).takeUnretainedValue().negotiate(&connection.pointee)
        }
        addNames(to: &table)
        addAttributes(to: &table)
        addFiles(to: &table)
        addDirectories(to: &table)
        addLocks(to: &table)
        // Left out on purpose; libfuse answers with ENOSYS, which the kernel remembers: access (with default_permissions the kernel
        // decides; without, everything is allowed), bmap, poll, ioctl (ENOTTY then).
        return table
    }

    /// A new entry for the kernel.
    func parameters(of entry: EntryReply) -> fuse_entry_param {
        var parameters = fuse_entry_param()
        parameters.ino = entry.attributes.inode.rawValue
        // Inode numbers are never used again, so one generation is enough.
        parameters.generation = 0
        parameters.attr = entry.attributes.status
        parameters.attr_timeout = seconds(entry.attributesValidity)
        parameters.entry_timeout = canInvalidateEntries ? seconds(entry.entryValidity) : 0
        return parameters
    }
}
