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

    /// How long the kernel may take to drop pages before nobody waits for it any more.
    private static let patience = 100 * Nanoseconds.millisecond

    /// The kernel first marks the attributes invalid, which never waits, and then drops the pages (fuse_reverse_inval_inode, fs/fuse/inode.c). That
    /// waits for reads that are under way, and such a read may itself wait for what follows this call: the answer to a recall, a session
    /// that is claimed from a new leader. So what takes long is not waited for to its end: until the pages are gone, the kernel compares size and
    /// time of change with fresh attributes before it uses one (`auto_inval_data`).
    func invalidate(_ inode: InodeID) async {
        guard let channel else { return }
        let wait = InvalidationWait()
        notifier.invalidate(inode, channel) { [self] code in
            Task { @LoopActor in
                guard let code else { return wait.begin(Self.patience) }
                report(code, inode)
                wait.end()
            }
        }
        await wait.over()
    }

    private func report(_ code: Int32, _ inode: InodeID) {
        guard code != 0 && code != ENOENT && code != ENOTCONN && code != ENODEV else { return }
        log.error("the kernel refused to drop an inode's cache", ["inode": "\(inode)", "error": MountPoint.text(code)])
    }

    /// The notification names no entries: all cached names of the mount are checked again when they are used next. Sent on the
    /// loop, since it cannot wait. Without it (older kernels) names are never cached: see `FuseSession.parameters`.
    /// FUSE_NOTIFY_INVAL_ENTRY is no alternative: it takes the directory's lock, which an operation of this mount may hold that
    /// itself waits for the cluster.
    func invalidateEntries(of directory: InodeID, names: [Name]) async {
        guard session.canInvalidateEntries, let channel else { return }
        let code = channel.incrementEpoch()
        if code != 0 && code != ENOTCONN && code != ENODEV {
            log.error("the kernel refused to check names again", ["directory": "\(directory)", "error": MountPoint.text(code)])
        }
    }
}
