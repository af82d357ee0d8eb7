import Model

/// What a leader knows about one other server (§5.3; the three states are those of etcd's raft).
struct Progress: Sendable {
    enum State: Sendable {
        /// Where the logs meet is not known: one append at a time.
        case probe
        /// The logs have met: appends are sent ahead of their answers.
        case replicate
        /// The entries that it needs are gone; a snapshot is on its way.
        case snapshot
    }

    /// An append that is not answered.
    struct Flight: Sendable {
        var last: LogIndex
        var bytes: Int
    }

    let id: NodeID
    var isVoter: Bool
    var state = State.probe
    /// The last entry that is known to be on its disk and equal to the leader's.
    private(set) var match: LogIndex = 0
    /// The next entry to send.
    var next: LogIndex
    /// In `probe`: an append is out; the next one goes with the next heartbeat or after an answer.
    var paused = false
    private(set) var flights: [Flight] = []
    private(set) var flightBytes = 0
    /// When it last answered in this term.
    var lastContact: UInt64
    /// When the latest append that it answered was sent; 0 for none in this term.
    var echoed: UInt64 = 0
    /// Answers to appends that were sent before are not counted: they may be those of a server that has lost its log since.
    private(set) var since: UInt64
    /// When `match` became known.
    private(set) var matchedAt: UInt64
    private(set) var trust = Trust.full
    /// The last incarnation that asked to be admitted; 0 for none.
    private(set) var incarnation: UInt64 = 0
    /// The entry up to which it was told to catch up before it votes; 0 if it was not admitted by this leader.
    private(set) var admission: LogIndex = 0

    /// Whether its answers say what it has promised; see `Raft+Rejoining`.
    enum Trust: Equatable, Sendable {
        case full
        /// It contradicted its acknowledgement of this entry and is being told so.
        case none(acknowledged: LogIndex)
        /// It says itself that it remembers nothing.
        case recovering
    }

    init(id: NodeID, isVoter: Bool, next: LogIndex, now: UInt64) {
        self.id = id
        self.isVoter = isVoter
        self.next = next
        lastContact = now
        since = now
        matchedAt = now
    }

    /// Everything up to `index` is known to be on its disk.
    mutating func matched(_ index: LogIndex, now: UInt64) {
        match = index
        matchedAt = now
    }

    /// What it acknowledged is void.
    mutating func lost(_ trust: Trust, incarnation: UInt64, last: LogIndex, now: UInt64) {
        self.trust = trust
        self.incarnation = incarnation
        admission = 0
        match = 0
        echoed = 0
        since = now
        matchedAt = now
        become(.probe, next: last + 1)
    }

    mutating func admit(upTo index: LogIndex) { admission = index }

    /// Its answers count again.
    mutating func regainTrust(last: LogIndex) {
        trust = .full
        become(.probe, next: last + 1)
    }

    /// Whether entries may be sent now.
    var canSend: Bool {
        guard trust == .full else { return false }
        return switch state {
        case .probe: !paused
        case .replicate: flights.count < Limits.inflightMessages && flightBytes < Limits.inflightBytes
        case .snapshot: false
        }
    }

    mutating func sent(last: LogIndex, bytes: Int) {
        flights.append(Flight(last: last, bytes: bytes))
        flightBytes += bytes
        next = last + 1
    }

    mutating func answered(upTo index: LogIndex) {
        let done = flights.firstIndex { $0.last > index } ?? flights.count
        guard done > 0 else { return }
        for flight in flights[..<done] { flightBytes -= flight.bytes }
        flights.removeFirst(done)
    }

    mutating func become(_ state: State, next: LogIndex) {
        self.state = state
        self.next = next
        paused = false
        flights.removeAll(keepingCapacity: true)
        flightBytes = 0
    }
}
