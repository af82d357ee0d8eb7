import Bytes
package import Model
package import Namespace
package import Runtime
package import Telemetry
package import Transport
import Wire

/// A client of the metadata service that finds the leader by itself and follows it.
///
/// Commands keep their order and are carried out once: each has a sequence number and is sent again, in order, to whoever leads after an
/// error. Leases are counted from when a request that was answered had been sent.
@LoopActor
package final class LeaderMetadataClient: MetadataClient {
    /// Times in nanoseconds.
    package struct Options: Sendable {
        /// For people: who this client is. At most 255 bytes of UTF-8.
        package var name: String
        /// How long a call tries before it is `.unavailable`.
        package var deadline: UInt64 = 60 * Nanoseconds.second
        /// Commands on their way at once.
        package var window = 64
        /// Without a session there are no leases; such a client may only ask, and set cluster records. For daemons and tools: a session that
        /// dies with its process makes the next leader wait.
        package var hasSession = true

        package init(name: String) { self.name = name }
    }

    /// The leader as far as this client knows, and the way to it.
    struct Connection {
        var node: NodeID
        var channel: any Channel
        var generation: UInt64
    }

    /// Recalls and releases that are remembered while answers are on their way; beyond that, answers grant nothing.
    static let rememberedMax = 65_536
    /// The sequence window of a session, with room for flushes that go before others.
    static let sequencesAhead: UInt64 = 768
    /// Submitted commands that are worth a message of their own, and nanoseconds for which fewer are kept back.
    package static let gatheredMin = 32
    package static let gatheringTime = 4 * Nanoseconds.millisecond

    let environment: Environment
    let requests: any RequestClient
    let options: Options
    let log: Log
    /// Where servers of the metadata service may be.
    package var nodes: [NodeID]
    package var onRecall: (@LoopActor (Recall) async -> RecallAnswer)?
    package var onOutdated: (@LoopActor ([InodeID]) -> Void)?
    package var onSessionLost: (@LoopActor () -> Void)?
    /// Called when none of `nodes` leads to a leader: there may be others meanwhile. Returns when `nodes` is as up to date as it can be.
    package var onNoLeader: (@LoopActor () async -> Void)?

    // The session
    var session = LeaseTable.nobody
    var term: UInt64 = 0
    var timeToLive: UInt64 = 15 * Nanoseconds.second
    /// Until then leases are good.
    var validUntil: UInt64 = 0
    var lastRenewal: UInt64 = 0
    var isRenewing = false
    var isClosed = false

    // The way to the leader
    var connection: Connection?
    var generation: UInt64 = 0
    var isConnecting = false
    var hint: NodeID?
    var nextNode = 0
    var failures = 0
    var waiters: [(deadline: UInt64, continuation: UnsafeContinuation<Connection?, Never>)] = []
    var isTicking = false
    /// When requests without an answer were sent, by request number.
    var unanswered: [UInt64: UInt64] = [:]
    var nextRequest: UInt64 = 1

    // Commands
    var nextSequence: UInt64 = 1
    var outstanding: [OutgoingCommand] = []
    var unsent: [OutgoingCommand] = []
    var commandsInFlight = 0
    /// Of the commands in flight those that nobody waits for, and those whose turn to be sent is still to come: no other may go before them.
    var submittedInFlight = 0
    var commandsStarting = 0
    /// Somebody waits for what was submitted and has not been sent.
    var isHastened = false
    var isGathering = false

    // Leases: true for exclusive
    var leases: [InodeID: Bool] = [:]
    /// What abandoned commands touch, and how many of them.
    var doubtful: [InodeID: Int] = [:]
    var opens: Set<InodeID> = []
    var recalling: [InodeID: Int] = [:]
    var recalled: [InodeID: UInt64] = [:]
    var recallFloor: UInt64 = 0
    var released: [InodeID: UInt64] = [:]
    var releaseFloor: UInt64 = 0
    var releases: [InodeID] = []
    var isReleaseScheduled = false

    // Advisory locks
    var held = HeldLocks()
    var lockLanes: [InodeID: LockLane] = [:]
    /// Requests that a leader knows of, by the number it knows them by.
    var lockCalls: [UInt64: OutgoingLock] = [:]
    /// Of those the ones that were not answered, not even with the answer that they wait.
    var unansweredLocks: Set<UInt64> = []
    var nextLock: UInt64 = 1
    var lockRequests = 0
    var locksInFlight = 0
    var lockSlotWaiters: [UnsafeContinuation<Void, Never>] = []

    /// - Parameter requests: its incoming requests of kinds `.metadataRecall` and `.metadataLockGranted` must be given to `handle`.
    package init(environment: Environment, requests: any RequestClient, nodes: [NodeID], options: Options, log: Log) {
        self.environment = environment
        self.requests = requests
        self.nodes = nodes
        self.options = options
        self.log = log
    }

    var now: UInt64 { environment.clock.now }

    // MARK: Leases

    package func holdsExclusive(_ inode: InodeID) -> Bool { leases[inode] == true && isValid && !isDoubtful(inode) }

    package func holdsLease(_ inode: InodeID) -> Bool { leases[inode] != nil && isValid && !isDoubtful(inode) }

    /// Whether a command that was given up may still change it.
    private func isDoubtful(_ inode: InodeID) -> Bool { !doubtful.isEmpty && doubtful[inode] != nil }

    private var isValid: Bool {
        #if CANARIES
            if Canary.cachesPastLease.isActive { return true }
        #endif
        return now < validUntil
    }

    package var leaseRemaining: UInt64 { validUntil > now ? validUntil - now : 0 }

    package func release(_ inodes: [InodeID]) {
        guard session != LeaseTable.nobody else { return }
        for inode in inodes {
            leases.removeValue(forKey: inode)
            opens.remove(inode)
            if unanswered.isEmpty { continue }
            // An answer on its way may bring a lease that the leader will have taken back.
            released[inode] = nextRequest
        }
        if released.count > Self.rememberedMax {
            releaseFloor = nextRequest
            released.removeAll()
        }
        releases.append(contentsOf: inodes)
        scheduleReleases()
    }

    // MARK: Calls

    package func query(_ query: Query) async throws(MetadataError) -> QueryReply {
        let deadline = now &+ options.deadline
        while true {
            let connection = try await connected(deadline)
            do throws(TransportError) {
                return try await ask(query, over: connection, deadline)
            } catch {
                try await recover(from: error, connection, deadline)
            }
        }
    }

    package func acquireExclusive(_ inode: InodeID) async throws(MetadataError) -> Attributes {
        let deadline = now &+ options.deadline
        while true {
            let connection = try await connected(deadline)
            do throws(TransportError) {
                if let attributes = try await acquire(inode, over: connection, deadline) { return attributes }
            } catch {
                try await recover(from: error, connection, deadline)
                continue
            }
            // The contract has no error for it: an inode that is gone cannot be held.
            throw MetadataError(.protocolViolation, "inode \(inode) is gone")
        }
    }

    package func perform(_ command: Command) async throws(MetadataError) -> Outcome {
        guard !isClosed else { throw Self.closed }
        let item = OutgoingCommand(sequence: nextSequence, command: command, deadline: now &+ options.deadline)
        nextSequence += 1
        outstanding.append(item)
        if let connection, unsent.isEmpty, commandsStarting == 0, mayBeSent(item) {
            commandsInFlight += 1
            await transmit(item, over: connection)
        } else {
            queue(item)
        }
        return try await item.wait()
    }

    package func submit(
        _ command: Command, on inodes: [InodeID], shown: Timestamp?, completion: @escaping @LoopActor (Result<Outcome, MetadataError>) -> Void
    ) {
        let item = OutgoingCommand(sequence: nextSequence, command: command, shown: shown, deadline: now &+ options.deadline, submitted: inodes)
        if isClosed {
            item.finish(.failure(Self.closed))
        } else {
            // Nobody else knows the number before the directory is given back, and that waits for the outcome.
            if case .createNumbered(let inode, _, _, _, _, _, _, _, _) = command { leases[inode] = true }
            nextSequence += 1
            outstanding.append(item)
            queue(item)
        }
        Task { @LoopActor in
            let result: Result<Outcome, MetadataError>
            do throws(MetadataError) { result = .success(try await item.wait()) } catch { result = .failure(error) }
            completion(result)
        }
    }

    package func hasten() {
        guard !unsent.isEmpty else { return }
        isHastened = true
        pump()
    }

    private func queue(_ item: OutgoingCommand) {
        unsent.append(item)
        pump()
        startConnecting()
    }

    private static var closed: MetadataError { MetadataError(.sessionLost, "the client is closed") }

    /// A cluster record; version 0 and nil where there is none.
    package func record(_ key: String) async throws(MetadataError) -> (value: [UInt8]?, version: UInt64) {
        switch try await query(.record(key: key)).answer {
        case .record(let value, let version): return (value, version)
        case .failed(.notFound): return (nil, 0)
        default: throw MetadataError(.protocolViolation, "a record was asked for and something else answered")
        }
    }

    /// Keys of the cluster records that begin with `prefix`.
    package func records(prefix: String) async throws(MetadataError) -> [String] {
        guard case .keys(let keys) = try await query(.records(prefix: prefix)).answer else {
            throw MetadataError(.protocolViolation, "keys were asked for and something else answered")
        }
        return keys
    }

    /// Sets (nil: removes) a cluster record if it has the expected version (0: there is none).
    /// - Returns: the new version, or the present one with `isSet` false. After an error on the way a change that was made may show as
    ///   a conflict with itself: compare the value.
    package func setRecord(
        _ key: String, _ value: [UInt8]?, expectedVersion: UInt64
    ) async throws(MetadataError) -> (isSet: Bool, version: UInt64) {
        switch try await perform(.setRecord(key: key, expectedVersion: expectedVersion, value: value)) {
        case .recordSet(let version): return (true, version)
        case .failed(.conflict(let version)): return (false, version)
        default: throw MetadataError(.protocolViolation, "a record was set and something else answered")
        }
    }

    /// One page of the state's raw rows, for verification. The first call has no `page`; the last page has handle 0. All pages show
    /// the same moment; an expired scan is `.unavailable`.
    package func scan(after page: ScanPage?) async throws(MetadataError) -> ScanPage {
        let deadline = now &+ options.deadline
        while true {
            let connection = try await connected(deadline)
            do throws(TransportError) {
                return try await scan(after: page, over: connection, deadline)
            } catch {
                // A pinned snapshot cannot be found again anywhere else.
                guard page == nil else { throw MetadataError(.unavailable, error.cause) }
                try await recover(from: error, connection, deadline)
            }
        }
    }

    package func close() async {
        guard !isClosed else { return }
        isClosed = true
        if let connection, session != LeaseTable.nobody {
            let header = RequestHeader(session: session, term: term, released: [])
            // An unanswered close is made good by the time to live.
            _ = try? await connection.channel.call(
                .metadataSessionClose, Transport.Message(body: header.encoded), timeout: 5 * Nanoseconds.second)
        }
        leases = [:]
        validUntil = 0
        connection = nil
        for item in outstanding { item.finish(.failure(Self.closed)) }
        outstanding = []
        unsent = []
        loseLocks(Self.closed)
        wake(nil)
    }
}
