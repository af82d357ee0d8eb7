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
    var match: LogIndex = 0
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

    init(id: NodeID, isVoter: Bool, next: LogIndex, now: UInt64) {
        self.id = id
        self.isVoter = isVoter
        self.next = next
        lastContact = now
    }

    /// Whether entries may be sent now.
    var canSend: Bool {
        switch state {
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
