import Metadata
package import Model
package import Namespace
package import Runtime
import Telemetry

/// Advisory locks: flock(2), and byte ranges of fcntl(2).
///
/// The metadata service keeps them. They are barriers for data without more being done: what somebody wrote under a lock lies under an exclusive lease that is
/// recalled before the next holder's first read.
///
/// A mount that lost its session has lost its locks. Whoever relied on one may not go on as if nothing had happened: others may hold it and have changed
/// the file. So every handle that was open on such a file fails with EIO from then on, as NFSv4 does it, until it is closed.
extension DistributedFilesystem {
    package func setLock(_ id: InodeID, handle: UInt64, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async throws(Errno) {
        guard let file = handles[handle], file.inode.id == id else { throw .badDescriptor }
        if file.hasLostLocks {
            if lock.mode == nil { return }
            throw .io
        }
        if lock.mode != nil {
            file.lockOwners.insert(lock.owner)
            file.inode.lockHandles.insert(handle)
        }
        let outcome: LockOutcome
        await known(file.inode)
        do { outcome = try await metadata.setLock(id, lock, waits: waits, interrupt: interrupt) } catch { throw Errno(error) }
        switch outcome {
        case .granted: return
        case .conflict: throw .again
        case .deadlock: throw .deadlock
        case .exhausted: throw .noLocks
        case .interrupted: throw .interrupted
        }
    }

    package func testLock(_ id: InodeID, handle: UInt64, _ lock: FileLock) async throws(Errno) -> FileLock? {
        guard let file = handles[handle], file.inode.id == id else { throw .badDescriptor }
        await known(file.inode)
        do { return try await metadata.testLock(id, lock) } catch { throw Errno(error) }
    }

    package func closeLocks(_ id: InodeID, owner: UInt64) async {
        let owner = LockOwner(.posix, owner)
        guard let inode = table.existing(id), !inode.lockHandles.isEmpty else { return }
        // What is left with a handle when it goes belongs to the open file itself (F_OFD_SETLK).
        for handle in inode.lockHandles {
            guard let file = handles[handle] else { continue }
            file.lockOwners.remove(owner)
            if file.lockOwners.isEmpty { inode.lockHandles.remove(handle) }
        }
        await unlock(id, owner)
    }

    /// Gives up what belongs to an open file that goes.
    func releaseLocks(_ file: FileHandle, _ handle: UInt64) async {
        guard !file.lockOwners.isEmpty else { return }
        file.inode.lockHandles.remove(handle)
        for owner in file.lockOwners { await unlock(file.inode.id, owner) }
    }

    private func unlock(_ id: InodeID, _ owner: LockOwner) async {
        guard metadata.holdsLock(id, owner) else { return }
        do throws(MetadataError) {
            _ = try await metadata.setLock(id, FileLock(owner, process: 0, whole: nil), waits: false, interrupt: nil)
        } catch {
            // It goes on being tried for as long as the session lives.
            log.warning("a lock could not be given up in time", ["inode": "\(id)", "cause": error.cause])
        }
    }

    /// The session is over, and all locks with it.
    func loseLocks() {
        for file in handles.values where metadata.holdsLock(file.inode.id, nil) { file.hasLostLocks = true }
    }
}
