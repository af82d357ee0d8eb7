package import Model
package import Namespace
package import Runtime

/// The advisory locks of sessions that live in this process, without a service between them.
@LoopActor
package final class LocalLocks {
    package private(set) var table: LockTable
    private var waiting: [LockTable.WaitID: UnsafeContinuation<LockTable.Outcome?, Never>] = [:]
    private var nextNumber: UInt64 = 1

    package init(limits: LockTable.Limits = LockTable.Limits()) { table = LockTable(limits: limits) }

    /// - Returns: nil where the interrupt came first.
    package func set(_ session: SessionID, _ inode: InodeID, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async -> LockTable.Outcome? {
        let id = LockTable.WaitID(session, nextNumber)
        nextNumber += 1
        let change = table.set(inode, LockHolder(session, lock.owner), process: lock.process, lock.range, lock.mode, wait: waits ? id : nil)
        grant(change.granted)
        guard change.outcome == .waits else { return change.outcome }
        return await withUnsafeContinuation { continuation in
            waiting[id] = continuation
            interrupt?.onRaise { [weak self] in
                guard let self, table.cancel(id, on: inode) else { return }
                waiting.removeValue(forKey: id)?.resume(returning: nil)
            }
        }
    }

    package func test(_ session: SessionID, _ inode: InodeID, _ lock: FileLock) -> FileLock? {
        guard let mode = lock.mode, let found = table.test(inode, LockHolder(session, lock.owner), lock.range, mode) else { return nil }
        return FileLock(found.holder.owner, process: found.holder.session == session ? found.process : 0, found.range, found.mode)
    }

    /// The session is over.
    package func drop(_ session: SessionID) {
        grant(table.drop(session))
        for id in waiting.keys where id.session == session { waiting.removeValue(forKey: id)?.resume(returning: .exhausted) }
    }

    package func holds(_ session: SessionID, _ inode: InodeID, _ owner: LockOwner) -> Bool { !table.pieces(inode, LockHolder(session, owner)).isEmpty }

    private func grant(_ ids: [LockTable.WaitID]) {
        for id in ids { waiting.removeValue(forKey: id)?.resume(returning: .granted) }
    }
}
