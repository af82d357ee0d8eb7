package import Metadata
package import Model
package import Namespace
package import Runtime
import TestSupport

/// A session with the leader in this process.
@LoopActor
package final class FakeMetadata: MetadataClient {
    package let leader: FakeLeader
    package private(set) var session: SessionID
    package var onRecall: (@LoopActor (Recall) async -> RecallAnswer)?
    package var onOutdated: (@LoopActor ([InodeID]) -> Void)?
    package var onSessionLost: (@LoopActor () -> Void)?
    /// While set, every request fails with it.
    package var failure: MetadataError?
    /// While set, the session was not renewed in time and no lease counts, but the leader has not ended it.
    package var isLate = false
    /// Called between the moment when a command is carried out and its answer.
    package var beforeAnswer: (@LoopActor () async -> Void)?
    /// Outcomes count as remembered from an earlier leader.
    package var isRemembered = false
    /// Called before a submitted command is carried out.
    package var submitGate: (@LoopActor () async -> Void)?
    private var lastSubmitted: Task<Void, Never>?
    /// Called between the moment when a question is answered and the arrival of the answer, once.
    package var beforeReply: (@LoopActor () async -> Void)?
    /// What the next updates get instead of being carried out.
    package var refusals: [Outcome] = []
    /// Updates as they were sent.
    package private(set) var updates: [Command] = []

    package init(_ leader: FakeLeader) {
        self.leader = leader
        session = leader.nextSession()
        leader.join(self)
    }

    private var lastSequence: UInt64 = 0

    func nextSequence() -> UInt64 {
        lastSequence += 1
        return lastSequence
    }

    package func query(_ query: Query) async throws(MetadataError) -> QueryReply {
        if let failure { throw failure }
        let reply = await leader.query(query, by: self)
        if let hook = beforeReply {
            beforeReply = nil
            await hook()
        }
        return reply
    }

    package func perform(_ command: Command) async throws(MetadataError) -> Outcome {
        await lastSubmitted?.value
        return try await carryOut(command)
    }

    package func submit(
        _ command: Command, on inodes: [InodeID], shown: Timestamp?, completion: @escaping @LoopActor (Result<Outcome, MetadataError>) -> Void
    ) {
        if case .createNumbered(let inode, _, _, _, _, _, _, _, _) = command { leader.expect(inode, of: self) }
        let earlier = lastSubmitted
        lastSubmitted = Task { @LoopActor in
            await earlier?.value
            await self.submitGate?()
            let result: Result<Outcome, MetadataError>
            do throws(MetadataError) { result = .success(try await self.carryOut(command, shown: shown)) } catch { result = .failure(error) }
            completion(result)
        }
    }

    package func hasten() {}

    private func carryOut(_ command: Command, shown: Timestamp? = nil) async throws(MetadataError) -> Outcome {
        if let failure { throw failure }
        if case .update = command {
            updates.append(command)
            if !refusals.isEmpty { return refusals.removeFirst() }
        }
        let outcome = await leader.perform(command, shown: shown, by: self)
        await beforeAnswer?()
        if isRemembered { onOutdated?(outcome.inodes) }
        return outcome
    }

    package func acquireExclusive(_ inode: InodeID) async throws(MetadataError) -> Attributes {
        if let failure { throw failure }
        guard let attributes = await leader.acquireExclusive(inode, by: self) else { throw MetadataError(.unavailable, "no inode") }
        return attributes
    }

    package func holdsExclusive(_ inode: InodeID) -> Bool { !isLate && failure == nil && leader.holds(inode, self) == .exclusive }
    package func holdsLease(_ inode: InodeID) -> Bool { !isLate && failure == nil && leader.holds(inode, self) != nil }
    package func release(_ inodes: [InodeID]) { leader.release(inodes, by: self) }
    package var leaseRemaining: UInt64 { 10 * Nanoseconds.second }
    package func close() async {}

    /// Inodes on which somebody was granted a lock, and the session did not end since.
    private var locked: Set<InodeID> = []
    private var isLosing = false

    package func setLock(_ inode: InodeID, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async throws(MetadataError) -> LockOutcome {
        if let failure { throw failure }
        let asked = session
        let outcome = await leader.locks.set(session, inode, lock, waits: waits, interrupt: interrupt)
        guard asked == session else { throw MetadataError(.sessionLost, "the session is over") }
        switch outcome {
        case nil: return .interrupted
        case .granted:
            if lock.mode != nil { locked.insert(inode) }
            return .granted
        case .conflict(let found): return .conflict(FileLock(found.holder.owner, process: 0, found.range, found.mode))
        case .deadlock: return .deadlock
        case .exhausted, .waits: return .exhausted
        }
    }

    package func testLock(_ inode: InodeID, _ lock: FileLock) async throws(MetadataError) -> FileLock? {
        if let failure { throw failure }
        return leader.locks.test(session, inode, lock)
    }

    package func holdsLock(_ inode: InodeID, _ owner: LockOwner?) -> Bool {
        guard let owner, !isLosing else { return locked.contains(inode) }
        return leader.locks.holds(session, inode, owner)
    }

    /// The session ends, and a new one begins.
    package func loseSession() {
        leader.expel(self)
        isLosing = true
        onSessionLost?()
        isLosing = false
        locked = []
        session = leader.nextSession()
        lastSequence = 0
    }
}
