import CSystem
import Glibc

/// The thread that makes calls as several users: who it is at the moment, and its umask. Shared by all `KernelCalls` of one thread.
package final class KernelThread {
    private var user = User.root
    private var mask: UInt32 = 0

    /// Root's only.
    package init() throws(Failure) {
        guard geteuid() == 0 else { throw Failure("must be root: calls are made as several users") }
        let result = CSystem_unshare_directory()
        guard result == 0 else { throw Failure("unshare: \(ErrorName.of(Int32(-result)))") }
        _ = CSystem_umask(0)
        // A write to a pipe that nobody reads is to fail, not to end the program.
        signal(SIGPIPE, SIG_IGN)
    }

    func become(_ user: User, mask: UInt32 = 0) {
        if mask != self.mask {
            _ = CSystem_umask(mask)
            self.mask = mask
        }
        guard user != self.user else { return }
        let result = user.groups.withUnsafeBufferPointer { CSystem_become(user.uid, user.gid, $0.baseAddress, $0.count) }
        precondition(result == 0, "root may become \(user): \(result)")
        self.user = user
    }
}
