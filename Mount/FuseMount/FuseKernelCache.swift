import Bytes
import Filesystem
import Glibc
import Model
import Namespace
import Runtime
import Telemetry

/// The kernel's caches of one mount.
@LoopActor
final class FuseKernelCache: KernelCache {
    private let session: FuseSession
    private let log: Log
    private let notifier = Notifier()
    private var channel: NotificationChannel?

    init(session: FuseSession, channel: NotificationChannel, log: Log) {
        self.session = session
        self.channel = channel
        self.log = log
    }

    /// Returns the system's error number, 0 if the notifier's threads run.
    func start() -> Int32 { notifier.start() }

    /// No notification is sent from now on; there is no kernel cache any more.
    func close() {
        channel = nil
        notifier.close()
    }

    /// How long the kernel may take before nobody waits for it any more: it is then just forgetting the inode.
    private static let patience = 100 * Nanoseconds.millisecond

    /// How long the kernel may take to drop pages before nobody waits for it any more: a request that holds one of them has come meanwhile.
    private static let pagePatience = 3 * Nanoseconds.millisecond

    /// Pages stay: the kernel compares size and time of change with fresh attributes before it uses one (`auto_inval_data`), but for mappings.
    func invalidate(_ inode: InodeID) async -> Bool { await invalidate(inode, pages: false, Self.patience) != ENOENT }

    /// Dropping pages waits for requests that hold them, and such a request may itself wait for what follows this call: the answer to a recall, a session
    /// that is claimed from a new leader. And a mount process that is killed meanwhile could not even end, since the request would wait for its answer for
    /// ever. So this is for moments when there is none.
    func dropPagesNow(_ inode: InodeID) async { _ = await invalidate(inode, pages: true, Self.pagePatience) }

    private func invalidate(_ inode: InodeID, pages: Bool, _ patience: UInt64) async -> Int32 {
        guard let channel else { return ENODEV }
        let wait = InvalidationWait()
        notifier.run({ channel.invalidate(inode, pages: pages) }) { [self] code in
            Task { @LoopActor in
                guard let code else { return wait.begin(patience) }
                report(code, inode)
                wait.end(code)
            }
        }
        return await wait.over()
    }

    func dropPages(_ inode: InodeID) {
        guard let channel else { return }
        notifier.run({ channel.invalidate(inode, pages: true) }) { [self] code in
            guard let code else { return }
            Task { @LoopActor in report(code, inode) }
        }
    }

    func prune(_ inodes: [InodeID]) async {
        guard session.canPrune, let channel else { return }
        let code = await withUnsafeContinuation { continuation in
            notifier.run({ channel.prune(inodes) }) { code in
                guard let code else { return }
                Task { @LoopActor in continuation.resume(returning: code) }
            }
        }
        guard code != 0 && code != ENOTCONN && code != ENODEV else { return }
        session.giveUpPruning()
        log.error("the kernel refused to forget unused inodes", ["error": MountPoint.text(code)])
    }

    private func report(_ code: Int32, _ inode: InodeID) {
        guard code != 0 && code != ENOENT && code != ENOTCONN && code != ENODEV else { return }
        log.error("the kernel refused to drop an inode's cache", ["inode": "\(inode)", "error": MountPoint.text(code)])
    }

    /// The notification names no entries: all cached names of the mount are checked again when they are used next. Sent on the
    /// loop, since it cannot wait. Without it (older kernels) names are never cached: see `FuseSession.parameters`.
    /// FUSE_NOTIFY_INVAL_ENTRY is no alternative: it takes the directory's lock, which an operation of this mount may hold that
    /// itself waits for the cluster.
    func invalidateEntries(of directory: InodeID) async {
        guard session.canInvalidateEntries, let channel else { return }
        let code = channel.incrementEpoch()
        if code != 0 && code != ENOTCONN && code != ENODEV {
            log.error("the kernel refused to check names again", ["directory": "\(directory)", "error": MountPoint.text(code)])
        }
    }
}
