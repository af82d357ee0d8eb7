import Model
import Namespace

/// The locks of this session, as its callers were told.
struct HeldLocks {
    struct Holding {
        var pieces = LockPieces()
        var process: UInt32 = 0
    }

    private(set) var files: [InodeID: [LockOwner: Holding]] = [:]

    func pieces(_ inode: InodeID, _ owner: LockOwner) -> LockPieces { files[inode]?[owner]?.pieces ?? LockPieces() }

    mutating func set(_ inode: InodeID, _ lock: FileLock) {
        files[inode, default: [:]][lock.owner, default: Holding()].pieces.set(lock.range, lock.mode)
        if lock.mode != nil { files[inode]?[lock.owner]?.process = lock.process }
        tidy(inode, lock.owner)
    }

    /// See `LockPieces.weaken`. To convert a lock on a whole file is to give it up first.
    mutating func weaken(_ inode: InodeID, _ lock: FileLock) {
        guard let held = files[inode]?[lock.owner]?.pieces else { return }
        if lock.owner.family == .flock, held.pieces.first?.mode != lock.mode {
            files[inode]?[lock.owner]?.pieces.set(.all, nil)
        } else {
            files[inode]?[lock.owner]?.pieces.weaken(lock.range, to: lock.mode)
        }
        tidy(inode, lock.owner)
    }

    private mutating func tidy(_ inode: InodeID, _ owner: LockOwner) {
        if files[inode]?[owner]?.pieces.isEmpty ?? false { files[inode]?[owner] = nil }
        if files[inode]?.isEmpty ?? false { files[inode] = nil }
    }

    /// All of them, for a claim.
    var all: [ClaimedLock] {
        files.flatMap { inode, owners in
            owners.flatMap { owner, holding in
                holding.pieces.pieces.map { ClaimedLock(inode: inode, lock: FileLock(owner, process: holding.process, $0.range, $0.mode)) }
            }
        }
    }
}
