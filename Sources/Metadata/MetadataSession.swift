import Model
import Namespace
import Runtime
import Transport

/// What a leader keeps of a session besides the replicated record. Gone when it leads no more.
@LoopActor
final class MetadataSession {
    let id: SessionID
    /// Where its last request came from; recalls go there.
    var channel: (any Channel)?
    /// When its last request arrived.
    var lastSeen: UInt64
    /// How many recalls were sent.
    var recalls: UInt64 = 0
    /// Being closed: nothing more is done for it.
    var isFenced = false
    /// Commands that wait for their turn or for recalls, in the order of their sequence.
    var lane: [PendingCommand] = []
    /// Commands that were received and are not answered, by sequence.
    var commands: [UInt64: PendingCommand] = [:]
    /// Entries that proposed commands are about to make, remove or replace.
    var names: [EntryName: Int] = [:]

    // Locks: requests by their numbers
    /// The session knows the answers to all below.
    private(set) var lockFloor: UInt64 = 0
    var lockAnswers: [UInt64: LockAnswer] = [:]
    /// Requests that waited and have their locks; the session was not told yet.
    var lockGrants: [UInt64] = []
    var isToldGrants = false

    init(id: SessionID, channel: (any Channel)?, now: UInt64) {
        self.id = id
        self.channel = channel
        lastSeen = now
    }

    /// Forgets answers that were received.
    func acknowledge(locksBelow number: UInt64) {
        guard number > lockFloor else { return }
        lockFloor = number
        lockAnswers = lockAnswers.filter { $0.key >= number }
    }
}

/// A directory entry's place.
struct EntryName: Hashable {
    var parent: InodeID
    var name: Name
}

/// A command from its arrival to its answer.
@LoopActor
final class PendingCommand {
    var proposal: Proposal
    let session: MetadataSession?
    /// Its intent in the lease table; 0 before there is one.
    var ticket: UInt64 = 0
    var touched: [InodeID] = []
    var names: [EntryName] = []
    var isProposed = false
    /// The client has the inode open whose last link this may take.
    var isOpenHere = false
    private var result: Result<CommandResult, TransportError>?
    private var waiters: [UnsafeContinuation<Result<CommandResult, TransportError>, Never>] = []

    init(proposal: Proposal, session: MetadataSession?) {
        self.proposal = proposal
        self.session = session
    }

    /// Waits for the outcome. The same command may be waited for more than once, if it was sent again.
    func wait() async throws(TransportError) -> CommandResult {
        if let result { return try result.get() }
        return try await withUnsafeContinuation { waiters.append($0) }.get()
    }

    func finish(_ result: Result<CommandResult, TransportError>) {
        guard self.result == nil else { return }
        self.result = result
        for waiter in waiters { waiter.resume(returning: result) }
        waiters = []
    }
}

struct CommandResult: Sendable {
    var outcome: Outcome
    var grants: Grants
    /// It had the outcome earlier: others may have changed since what it shows.
    var isRemembered: Bool
}
