import Metadata
import Model
import Namespace
import Runtime

/// A session with the leader in this process.
@LoopActor
final class FakeMetadata: MetadataClient {
    let leader: FakeLeader
    var onRecall: (@LoopActor (Recall) async -> RecallAnswer)?
    var onSessionLost: (@LoopActor () -> Void)?
    /// While set, every request fails with it.
    var failure: MetadataError?
    /// What the next updates get instead of being carried out.
    var refusals: [Outcome] = []
    /// Updates as they were sent.
    private(set) var updates: [Command] = []

    init(_ leader: FakeLeader) {
        self.leader = leader
        leader.join(self)
    }

    func query(_ query: Query) async throws(MetadataError) -> QueryReply {
        if let failure { throw failure }
        return await leader.query(query, by: self)
    }

    func perform(_ command: Command) async throws(MetadataError) -> Outcome {
        if let failure { throw failure }
        if case .update = command {
            updates.append(command)
            if !refusals.isEmpty { return refusals.removeFirst() }
        }
        return await leader.perform(command, by: self)
    }

    func acquireExclusive(_ inode: InodeID) async throws(MetadataError) -> Attributes {
        if let failure { throw failure }
        guard let attributes = await leader.acquireExclusive(inode, by: self) else { throw MetadataError(.unavailable, "no inode") }
        return attributes
    }

    func holdsExclusive(_ inode: InodeID) -> Bool { failure == nil && leader.holds(inode, self) == .exclusive }
    func holdsLease(_ inode: InodeID) -> Bool { failure == nil && leader.holds(inode, self) != nil }
    func release(_ inodes: [InodeID]) { leader.release(inodes, by: self) }
    var leaseRemaining: UInt64 { 10 * Nanoseconds.second }
    func close() async {}

    /// The session ends, and a new one begins.
    func loseSession() {
        leader.expel(self)
        onSessionLost?()
    }
}
