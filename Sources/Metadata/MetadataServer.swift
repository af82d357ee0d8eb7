import Consensus
package import Digest
package import Model
import Namespace
import OrderedStore
package import Runtime
package import Telemetry
package import Transport

/// One server of the metadata service: drives the Raft core over the journal and the network, applies what is committed, and, while it leads,
/// serves sessions, leases, queries and commands.
@LoopActor
package final class MetadataServer {
    let options: MetadataOptions
    let environment: Environment
    let requests: any RequestClient
    let stores: any StateStoreProvider
    /// Has all replicas delete these blocks; false if some did not, so that it is tried again.
    let deleteBlocks: @LoopActor ([BlockKey]) async -> Bool
    let log: Log
    let storage: ConsensusStorage
    var store: any OrderedStore
    var namespace: Namespace
    var raft: Raft

    private var events: [Event] = []
    private var isStepping = false
    /// Committed, but not yet durable on this disk: what is applied must never be ahead of the own log.
    var unapplied: [Entry] = []
    var unappliedStart = 0
    /// The state is being replaced by a snapshot.
    var isInstalling = false
    var installation: SnapshotInstallation?
    var configuration: Configuration
    /// Configuration entries since the last mark, to know the group as of any mark.
    var configurations: [(index: LogIndex, configuration: Configuration)]
    /// Where each term begins in the log since the last mark.
    var terms: [(index: LogIndex, term: Term)]
    var committedIndex: LogIndex
    var peers: [NodeID: PeerQueue] = [:]
    /// Whom this server believes to lead.
    var leader: NodeID?
    var term: Term
    var leadership: Leadership?
    var isCompacting = false
    package private(set) var hasFailed = false
    /// The server stopped because its disk was full, and for nothing worse: another one, started on the same disk when there is room, can go on.
    package private(set) var isOutOfSpace = false
    private(set) var isStopped = false
    private var lastTick: UInt64
    private var lastCheck: UInt64
    private var lastCollection: UInt64
    /// When this server, which waits to be admitted, says so again.
    var nextWarning: UInt64 = .max
    var isCollecting = false

    // Leader: proposals
    var nextToken: UInt64 = 1
    var pending: [PendingCommand] = []
    var pendingStart = 0
    var batches: [UInt64: [PendingCommand]] = [:]
    var accepted: [LogIndex: (term: Term, token: UInt64)] = [:]
    var changeWaiters: [UInt64: UnsafeContinuation<Result<LogIndex, MetadataServerError>, Never>] = [:]

    // Leader: reads
    var read = ReadBarrier()
    var appliedWaiters: [AppliedWaiter] = []

    // Leader: sessions and leases
    var table: LeaseTable
    var locks: LockTable
    var sessions: [SessionID: MetadataSession] = [:]
    var blockedLanes: [InodeID: Set<SessionID>] = [:]
    var inodeWaiters: [InodeID: [UnsafeContinuation<Void, Never>]] = [:]
    var dirtyLanes: Set<SessionID> = []
    var isDraining = false
    var waitingRequests = 0
    var scans: [UInt64: PinnedScan] = [:]

    /// Called when an applied command may have changed cluster records: their keys.
    package var onRecordsChanged: (@LoopActor ([String]) -> Void)?
    /// Whether the process at the other end of a channel that has ended is known to be gone for good, so that nobody uses its leases any more. Nothing
    /// else may be answered with true: a process that is only cut off goes on using them until its time to live is over.
    package var hasEnded: (@LoopActor (Peer) -> Bool)?
    /// Called once when the disk or the state failed; the server votes no more.
    package var onFailure: (@LoopActor (String) -> Void)?

    /// Starts a server from what is on disk. One whose log is damaged before its tail, or contradicts the state, moves it aside and begins without
    /// one; so does one whose log was removed. It takes part again when the group's leader has admitted it anew.
    /// - Parameters:
    ///   - bootstrap: make a new group of this one server. Only if there is no log yet; otherwise a server without a log waits until a leader adds
    ///     it, and never votes before.
    ///   - requests: must let requests of kind `.raft` and `.raftSnapshot` through to the `handle` of the other servers.
    ///   - canRejoin: whether there are other servers that could admit this one; if not, a damaged log stays where it is and is an error.
    /// - Throws: `.corrupt`, `.storage`.
    package static func start(
        options: MetadataOptions, environment: Environment, requests: any RequestClient, stores: any StateStoreProvider, bootstrap: Bool,
        canRejoin: Bool = true, log: Log, deleteBlocks: @escaping @LoopActor ([BlockKey]) async -> Bool
    ) async throws(MetadataServerError) -> MetadataServer {
        let disk = try await DurableState.open(
            options: options, environment: environment, stores: stores, bootstrap: bootstrap, canRejoin: canRejoin, log: log)
        return MetadataServer(
            options: options, environment: environment, requests: requests, stores: stores, log: log, storage: disk.storage, store: disk.store,
            namespace: disk.namespace, restored: disk.restored, deleteBlocks: deleteBlocks)
    }

    private init(
        options: MetadataOptions, environment: Environment, requests: any RequestClient, stores: any StateStoreProvider, log: Log,
        storage: ConsensusStorage, store: any OrderedStore, namespace: Namespace, restored: Restored,
        deleteBlocks: @escaping @LoopActor ([BlockKey]) async -> Bool
    ) {
        self.options = options
        self.environment = environment
        self.requests = requests
        self.stores = stores
        self.log = log
        self.storage = storage
        self.store = store
        self.namespace = namespace
        self.deleteBlocks = deleteBlocks
        let now = environment.clock.now
        lastTick = now
        lastCheck = now
        lastCollection = now
        raft = Raft(id: options.node, restored: restored, timing: options.timing, seed: environment.random.next(), now: now)
        configuration = restored.snapshot.configuration
        configurations = [(restored.snapshot.index, restored.snapshot.configuration)]
        terms = [(restored.snapshot.index, restored.snapshot.term)]
        committedIndex = restored.snapshot.index
        term = restored.hardState.term
        table = LeaseTable(limit: options.leases)
        locks = LockTable(limits: options.locks)
        note(restored.entries)
        configuration = configurations.last?.configuration ?? configuration
        storage.onPersisted = { [weak self] token in self?.persisted(token) }
        storage.onFailure = { [weak self] cause in self?.fail(cause, isOutOfSpace: self?.storage.isOutOfSpace ?? false) }
        if raft.standing == .recovering {
            log.info("has no metadata log; neither votes nor acknowledges until a leader admits it", [:])
            waitForAdmission()
        }
        scheduleTick()
    }

    var now: UInt64 { environment.clock.now }

    // MARK: The core's loop

    /// Gives the core an event and does what it says, then the events that this brought about.
    func step(_ event: Event) {
        guard !hasFailed, !isStopped else { return }
        events.append(event)
        guard !isStepping else { return }
        isStepping = true
        var next = 0
        while next < events.count {
            let event = events[next]
            next += 1
            for effect in raft.step(event, now: now) where !hasFailed { perform(effect) }
        }
        events.removeAll(keepingCapacity: true)
        isStepping = false
        drainLanes()
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .persist(let state, let entries, let token):
            if let state { term = state.term }
            note(entries)
            storage.persist(state, entries, token: token)
        case .send(let message, let node): peer(node).send(message)
        case .commit(let entries):
            if let last = entries.last { committedIndex = last.index }
            unapplied.append(contentsOf: entries)
            applyDurable()
        case .accepted(let token, let index, let term): proposalAccepted(token, index, term)
        case .refused(let token, let leader): refused(token, leader)
        case .readable(let token, let index): readable(token, index)
        case .becameLeader(let term): becameLeader(term)
        case .follows(let leader, let term): follows(leader, term)
        case .sendSnapshot(let node): sendSnapshot(to: node)
        case .configuration(let configuration): self.configuration = configuration
        case .standing(let standing): standingChanged(standing)
        case .lostLog(let node):
            log.error(
                "a server of the metadata group has no log that can be trusted; it is taken out of the voters and admitted anew",
                ["node": node.description])
        }
    }

    /// Remembers where terms begin and the group changes, for marks.
    private func note(_ entries: [Entry]) {
        guard let first = entries.first else { return }
        while let last = terms.last, last.index >= first.index, terms.count > 1 { terms.removeLast() }
        while let last = configurations.last, last.index >= first.index, configurations.count > 1 { configurations.removeLast() }
        for entry in entries {
            if let last = terms.last, last.term != entry.term { terms.append((entry.index, entry.term)) }
            if case .configuration(let configuration) = entry.payload { configurations.append((entry.index, configuration)) }
        }
    }

    private func persisted(_ token: UInt64) {
        step(.persisted(token: token))
        applyDurable()
        drainLanes()
    }

    func peer(_ node: NodeID) -> PeerQueue {
        if let known = peers[node] { return known }
        let queue = PeerQueue(node: node, requests: requests, clock: environment.clock)
        peers[node] = queue
        return queue
    }

    // MARK: Applying

    /// Applies what is committed and on the own disk.
    func applyDurable() {
        guard !isInstalling, !hasFailed else { return }
        while unappliedStart < unapplied.count, unapplied[unappliedStart].index <= storage.durableIndex {
            let entry = unapplied[unappliedStart]
            unappliedStart += 1
            apply(entry)
            if hasFailed { return }
        }
        if unappliedStart == unapplied.count {
            unapplied.removeAll(keepingCapacity: true)
            unappliedStart = 0
        } else if unappliedStart > 1024 {
            unapplied.removeFirst(unappliedStart)
            unappliedStart = 0
        }
        wakeApplied()
        flushProposals()
        compactIfDue()
    }

    private func apply(_ entry: Entry) {
        // After a restart the state may be ahead of the mark from which the core tells everything again.
        guard entry.index > namespace.appliedIndex else { return }
        var batch: [PendingCommand] = []
        if let known = accepted.removeValue(forKey: entry.index), let commands = batches.removeValue(forKey: known.token) {
            if known.term == entry.term { batch = commands } else { fail(commands, .notLeader(leader)) }
        }
        let proposals: [Proposal]
        if case .data(let bytes) = entry.payload {
            if batch.isEmpty {
                guard let decoded = decodeProposals(bytes) else {
                    return fail("the metadata log holds an entry that cannot be decoded, index \(entry.index)")
                }
                proposals = decoded
            } else {
                proposals = batch.map(\.proposal)
            }
        } else {
            proposals = []
        }
        do throws(StoreError) {
            let outcomes = try namespace.apply(proposals, index: entry.index, term: entry.term)
            for (proposal, outcome) in zip(proposals, outcomes) { followUp(proposal, outcome) }
            let remembered = namespace.remembered
            for (position, (command, outcome)) in zip(batch, outcomes).enumerated() {
                complete(command, outcome, isRemembered: remembered.contains(position))
            }
        } catch {
            fail("the metadata state cannot be written: \(error.cause)", isOutOfSpace: error.code == .noSpace)
            return
        }
        if let leadership, leadership.phase == .catchingUp, entry.term == leadership.term { beginGrace() }
    }

    /// What every server has to note of an applied command.
    private func followUp(_ proposal: Proposal, _ outcome: Outcome) {
        switch (proposal.command, outcome) {
        case (.setRecord(let key, _, _), .recordSet): onRecordsChanged?([key])
        case (.closeSession(let session), _): sessionEnded(session)
        default: break
        }
    }

    /// The server can promise nothing any more. It stays silent, so that the others go on without it.
    func fail(_ cause: String, isOutOfSpace: Bool = false) {
        guard !hasFailed else { return }
        hasFailed = true
        self.isOutOfSpace = isOutOfSpace
        log.error("the metadata server stops", ["cause": cause])
        loseLeadership(hint: nil)
        onFailure?(cause)
    }

    // MARK: Time

    private func scheduleTick() {
        _ = environment.clock.schedule(after: options.timing.tick) { [weak self] in
            guard let self, !self.isStopped, !self.hasFailed else { return }
            self.tick()
            self.scheduleTick()
        }
    }

    private func tick() {
        let now = now
        // After a stall (a frozen process) requests of living sessions lie in the socket; they must not be taken for dead.
        if now - lastTick > 2 * Nanoseconds.second { for session in sessions.values { session.lastSeen = now } }
        lastTick = now
        step(.tick)
        warnIfNotAdmitted()
        guard leadership != nil else { return }
        if now - lastCheck >= 500 * Nanoseconds.millisecond {
            lastCheck = now
            checkSessions()
        }
        if now - lastCollection >= options.collectionInterval {
            lastCollection = now
            collect()
        }
    }

    /// Stops in order: hands leadership over, writes the state out, so that a restart is short.
    package func stop() async {
        guard !isStopped else { return }
        if leadership != nil, let successor = bestSuccessor() {
            step(.transferLeadership(to: successor))
            let deadline = now + 2 * options.timing.election
            while leadership != nil, now < deadline { await environment.clock.sleep(nanoseconds: options.timing.tick) }
        }
        if !hasFailed { await compact() }
        isStopped = true
        loseLeadership(hint: leader == options.node ? nil : leader)
    }

    /// Stops at once, as the death of the process would.
    package func abandon() {
        isStopped = true
        loseLeadership(hint: nil)
    }

    /// The voter that is closest to this server's log.
    private func bestSuccessor() -> NodeID? { raft.peers.filter(\.isVoter).max { $0.matchIndex < $1.matchIndex }?.id }
}
