import CFuse
import Filesystem
import Glibc
import Model
import Namespace
import Runtime

// Advisory locks.
//
// The kernel names owners: for fcntl(2) the process's table of descriptors, for F_OFD_… and flock(2) the open file. Locks of an open file by F_OFD_SETLK
// arrive as those of a process do, and nothing tells them apart; but the kernel says at every close(2) of a process which owner that is (FLUSH), so what
// is still left of a handle when it goes (RELEASE) belonged to the open file. RELEASE has no answer that close(2) waits for: the lock of a file that was
// closed is free a moment later.
extension FuseSession {
    static func addLocks(to table: inout fuse_lowlevel_ops) {
        table.getlk = { request, inode, file, lock in
            guard let handle = file?.pointee.fh, let owner = file?.pointee.lock_owner, let asked = lock.flatMap({ FileLock($0.pointee, owner: owner) }) else {
                return FuseRequest.refuse(request, EINVAL)
            }
            FuseRequest.serve(request, .query) { request, operations throws(Errno) in
                let found = try await operations.testLock(InodeID(rawValue: inode), handle: handle, asked)
                request.reply(lock: flock(found))
            }
        }
        table.setlk = { request, inode, file, lock, sleep in
            guard let handle = file?.pointee.fh, let owner = file?.pointee.lock_owner, let asked = lock.flatMap({ FileLock($0.pointee, owner: owner) }) else {
                return FuseRequest.refuse(request, EINVAL)
            }
            FuseSession.set(request, inode, handle, asked, waits: sleep != 0)
        }
        table.flock = { request, inode, file, operation in
            guard let handle = file?.pointee.fh, let owner = file?.pointee.lock_owner else { return FuseRequest.refuse(request, EINVAL) }
            let mode: LockMode?
            switch operation & ~LOCK_NB {
            case LOCK_SH: mode = .shared
            case LOCK_EX: mode = .exclusive
            case LOCK_UN: mode = nil
            default: return FuseRequest.refuse(request, EINVAL)
            }
            let asked = FileLock(LockOwner(.flock, owner), process: FuseSession.process(of: request), whole: mode)
            FuseSession.set(request, inode, handle, asked, waits: operation & LOCK_NB == 0)
        }
    }

    private static func set(_ request: OpaquePointer?, _ inode: fuse_ino_t, _ handle: UInt64, _ lock: FileLock, waits: Bool) {
        // An unlock goes on whatever signal comes.
        FuseRequest.serve(request, lock.mode == nil ? .change : .locking) { request, operations throws(Errno) in
            try await operations.setLock(InodeID(rawValue: inode), handle: handle, lock, waits: waits, interrupt: request.interrupt)
            request.done()
        }
    }

    private static func process(of request: OpaquePointer?) -> UInt32 {
        guard let request, let context = fuse_req_ctx(request) else { return 0 }
        return UInt32(clamping: context.pointee.pid)
    }
}

extension FileLock {
    /// What fcntl(2) asks for, as the kernel passes it on: a range from the start of the file, of length 0 for "to the end".
    init?(_ lock: flock, owner: UInt64) {
        let mode: LockMode?
        switch Int32(lock.l_type) {
        case F_RDLCK: mode = .shared
        case F_WRLCK: mode = .exclusive
        case F_UNLCK: mode = nil
        default: return nil
        }
        guard let first = UInt64(exactly: lock.l_start), let length = UInt64(exactly: lock.l_len) else { return nil }
        let (last, overflow) = first.addingReportingOverflow(length &- 1)
        guard !overflow || length == 0, let range = LockRange(first, length == 0 ? LockRange.end : last) else { return nil }
        self.init(LockOwner(.posix, owner), process: UInt32(clamping: lock.l_pid), range, mode)
    }
}

extension flock {
    /// For F_GETLK; F_UNLCK where there is nothing in the way. The kernel takes the process for one of this machine and shows 0 where there is no such
    /// one; it has no way to show one of another machine.
    init(_ lock: FileLock?) {
        self.init()
        guard let lock, let mode = lock.mode else {
            l_type = Int16(F_UNLCK)
            return
        }
        l_type = Int16(mode == .exclusive ? F_WRLCK : F_RDLCK)
        l_whence = Int16(SEEK_SET)
        l_start = off_t(clamping: lock.range.first)
        l_len = lock.range.last == LockRange.end ? 0 : off_t(clamping: lock.range.last - lock.range.first + 1)
        l_pid = pid_t(clamping: lock.process)
    }
}
