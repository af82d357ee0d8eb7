package import Model

/// One server of a Raft group as a pure value: no clock, thread, randomness or I/O.
///
/// Sources: D. Ongaro and J. Ousterhout, "In Search of an Understandable Consensus Algorithm" (sections are cited by number), and
/// D. Ongaro's dissertation (cited as such) for pre-vote, leadership transfer, read index and single-server membership change.
package struct Raft: Sendable {
    package enum Role: Equatable, Sendable {
        case follower
        /// Asks whether it could win before it raises the term (dissertation §9.6).
        case preCandidate
        case candidate
        case leader
    }

    package let id: NodeID
    let timing: Timing
    var random: SplitMix
    /// The time of the current step; grows with every step even if the shell's clock stands, so that it also orders events.
    var now: UInt64

    package internal(set) var role = Role.follower
    package internal(set) var term: Term
    /// Who got this server's vote in `term`.
    package internal(set) var vote: NodeID?
    /// Whether this server remembers what it promised; durable together with term and vote.
    package internal(set) var standing: Standing
    /// Names the present loss of the log while `standing` is `.recovering`.
    var incarnation: UInt64 = 0
    /// Who leads `term`, as far as this server knows; itself if it does.
    package internal(set) var leader: NodeID?
    /// The last entry that this server knows to be committed.
    package internal(set) var commitIndex: LogIndex
    var log: RaftLog

    /// The last entry that is durable here.
    package internal(set) var stableIndex: LogIndex
    /// Writes that are not answered, oldest first. They count in this order even if they end in another.
    var writes: [Write] = []
    var nextToken: UInt64 = 1
    /// What this step must write: term and vote, and the entries from an index on.
    var hardStateChanged = false
    var unwritten: LogIndex?
    /// What waits for the write of this step.
    var waiting: [(waiting: Write.Waiting, term: Term)] = []

    var electionDeadline: UInt64 = 0
    /// Until then a leader may rely on this server not to vote for another one.
    var quietUntil: UInt64
    /// Answers of this campaign.
    var votes: [NodeID: Bool] = [:]
    /// The last entry that is known to equal the leader's in this term.
    var matched: LogIndex = 0
    /// The latest `probe` of this leader.
    var probe: UInt64 = 0

    var leadership = Leadership()
    var effects: [Effect] = []
    #if DEBUG
        /// Rules that a test breaks on purpose, to prove that its checks notice.
        var mutations: Set<Mutation> = []
    #endif

    /// - Parameters:
    ///   - restored: what the disk holds. Entries that cannot follow the snapshot or each other, and everything after them, are left out.
    ///   - seed: spreads election timeouts; any number, different on each server.
    ///   - now: monotonic nanoseconds, as in every `step`.
    package init(id: NodeID, restored: Restored, timing: Timing, seed: UInt64, now: UInt64) {
        self.id = id
        self.timing = timing
        self.now = min(max(now, 1), Limits.number)
        random = SplitMix(seed: seed ^ (id.rawValue &* 0x9E37_79B9_7F4A_7C15))
        log = RaftLog(base: restored.snapshot)
        for entry in restored.entries where entry.index > restored.snapshot.index {
            // What is left of an older log behind an installed snapshot has a term below the snapshot's: it ends here.
            guard entry.index == log.lastIndex + 1, entry.term >= log.lastTerm, entry.term <= Limits.number else { break }
            if case .configuration(let configuration) = entry.payload, !configuration.isValid { break }
            log.append(entry)
        }
        term = max(restored.hardState.term, log.lastTerm)
        vote = term == restored.hardState.term ? restored.hardState.vote : nil
        standing = restored.hardState.standing
        commitIndex = restored.snapshot.index
        stableIndex = log.lastIndex
        // It may have answered a leader just before it stopped, so the promise not to vote is as if it had heard one now.
        quietUntil = self.now + timing.election
        if log.lastIndex == 0, log.configuration == .unknown, standing == .trusted { standing = .recovering }
        if standing == .recovering { drawIncarnation() }
        restartElectionTimer()
        if isAlone { electionDeadline = self.now }
    }

    /// Takes one event and tells what to do about it.
    ///
    /// - Parameter now: monotonic nanoseconds; a value before the last step's counts as the last step's.
    package mutating func step(_ event: Event, now: UInt64) -> [Effect] {
        self.now = max(min(now, Limits.number), self.now + 1)
        switch event {
        case .tick: tick()
        case .received(let message, let sender): receive(message, from: sender)
        case .propose(let data, let token): propose(data, token: token)
        case .changeConfiguration(let configuration, let token): change(to: configuration, token: token)
        case .read(let token): read(token: token)
        case .persisted(let token): persisted(token: token)
        case .compacted(let mark): compacted(mark)
        case .snapshotInstalled(let mark): snapshotInstalled(mark)
        case .snapshotSent(let target, let mark, let succeeded): snapshotSent(to: target, mark: mark, succeeded: succeeded)
        case .transferLeadership(let target): transferLeadership(to: target)
        }
        trustIfCaughtUp()
        write()
        if role == .leader { replicate() }
        let result = effects
        effects = []
        return result
    }

    // MARK: Messages

    private mutating func receive(_ message: Message, from sender: NodeID) {
        guard sender != id, sender.rawValue != 0, message.term <= Limits.number else { return }
        switch message.kind {
        case .requestVote(let lastIndex, let lastTerm, let preVote, let transfer):
            // Silence is as if the question had been lost: no promise is given, none is broken, and nobody is disturbed.
            guard standing == .trusted else { return }
            if preVote {
                answerPreVote(from: sender, term: message.term, lastIndex: lastIndex, lastTerm: lastTerm)
            } else {
                answerVote(from: sender, term: message.term, lastIndex: lastIndex, lastTerm: lastTerm, transfer: transfer)
            }
        case .vote(let granted, let preVote):
            takeVote(from: sender, term: message.term, granted: granted, preVote: preVote)
        case .append(let previousIndex, let previousTerm, let entries, let commit, let probe):
            guard follow(sender, term: message.term) else {
                // Tells a leader that the group has left behind, so that it steps down.
                if message.term < term {
                    sendDurably(.conflict(rejected: previousIndex, index: log.lastIndex, term: log.lastTerm, probe: probe), to: sender)
                }
                return
            }
            guard standing != .recovering else { return askForAdmission(probe: probe, from: sender) }
            append(entries, after: previousIndex, previousTerm: previousTerm, commit: commit, probe: probe, from: sender)
        case .appended(let index, let probe):
            guard let peer = answeringPeer(sender, term: message.term, probe: probe), counts(peer, probe: probe, acknowledged: index) else {
                return
            }
            appended(peer, index: index)
        case .conflict(let rejected, let index, let hintTerm, let probe):
            guard let peer = answeringPeer(sender, term: message.term, probe: probe), !contradicts(peer, rejected: rejected, probe: probe),
                counts(peer, probe: probe, acknowledged: nil)
            else { return }
            conflicted(peer, rejected: rejected, index: index, term: hintTerm)
        case .timeoutNow:
            guard standing == .trusted else { return }
            if message.term > term { becomeFollower(term: message.term, leader: nil) }
            guard message.term == term, role == .follower, leader == sender, isVoter else { return }
            campaign(transfer: true)
        case .recovering(let incarnation, let probe):
            guard incarnation != 0, let peer = answeringPeer(sender, term: message.term, probe: probe) else { return }
            recovering(peer, incarnation: incarnation)
        case .admit(let incarnation, let index):
            guard follow(sender, term: message.term) else { return }
            admitted(incarnation: incarnation, upTo: index, by: sender)
        case .distrust(let index):
            guard follow(sender, term: message.term) else { return }
            distrusted(afterAcknowledging: index)
        }
    }

    /// Sends at once what promises nothing that is only in memory.
    mutating func send(_ kind: Message.Kind, to target: NodeID) { effects.append(.send(Message(term: term, kind: kind), to: target)) }

    /// Sends when the term and vote as they are now are durable (§5.2), and only if the term is still the same then: an answer given in
    /// an old term after this server voted in a newer one could commit an entry that the newer leader lacks.
    mutating func sendDurably(_ kind: Message.Kind, term sent: Term? = nil, to target: NodeID) {
        afterHardState(.send(Message(term: sent ?? term, kind: kind), to: target))
    }

    /// Does what waits when the term and vote as they are now are durable.
    mutating func afterHardState(_ action: Write.Waiting) {
        if hardStateChanged {
            waiting.append((action, term))
        } else if let last = writes.lastIndex(where: { $0.hasHardState }) {
            writes[last].waiting.append((action, term))
        } else {
            perform(action)
        }
    }

    private mutating func perform(_ action: Write.Waiting) {
        switch action {
        case .send(let message, let target): effects.append(.send(message, to: target))
        case .ownVote: if role == .candidate { count(granted: true, from: id) }
        }
    }

    // MARK: Disk

    /// Appends an entry; the end of the step writes it and the leader sends it.
    mutating func append(_ entry: Entry) {
        log.append(entry)
        if unwritten == nil { unwritten = entry.index }
        if case .configuration(let configuration) = entry.payload { effects.append(.configuration(configuration)) }
    }

    /// Takes back entries from `index` on, which are not committed. Writes of them that are still out prove nothing about what replaces them.
    mutating func truncate(from index: LogIndex) {
        let before = log.configurationIndex
        log.truncate(from: index)
        forgetWrites(from: index)
        if log.configurationIndex != before { effects.append(.configuration(log.configuration)) }
    }

    private mutating func forgetWrites(from index: LogIndex) {
        stableIndex = min(stableIndex, index - 1)
        matched = min(matched, index - 1)
        for write in writes.indices { writes[write].last = min(writes[write].last, index - 1) }
    }

    private mutating func write() {
        guard hardStateChanged || unwritten != nil else { return }
        let entries = unwritten.map { log.entries($0...log.lastIndex) } ?? []
        let token = nextToken
        nextToken += 1
        let state = HardState(term: term, vote: vote, standing: standing)
        effects.append(.persist(hardStateChanged ? state : nil, entries, token: token))
        writes.append(Write(token: token, last: entries.last?.index ?? 0, hasHardState: hardStateChanged, waiting: waiting))
        waiting = []
        hardStateChanged = false
        unwritten = nil
    }

    private mutating func persisted(token: UInt64) {
        guard let index = writes.firstIndex(where: { $0.token == token }) else { return }
        writes[index].isDone = true
        let done = writes.firstIndex { !$0.isDone } ?? writes.count
        guard done > 0 else { return }
        let ended = writes[..<done]
        writes.removeFirst(done)
        let stableBefore = stableIndex
        for write in ended { stableIndex = max(stableIndex, write.last) }
        for write in ended {
            for item in write.waiting where item.term == term { perform(item.waiting) }
        }
        guard stableIndex > stableBefore else { return }
        if role == .leader { commitByCounting() } else { acknowledge() }
    }

    // MARK: Snapshots (§7)

    private mutating func compacted(_ mark: SnapshotMark) {
        guard mark.index <= commitIndex, log.term(at: mark.index) == mark.term else { return }
        log.compact(to: mark.index)
    }

    private mutating func snapshotInstalled(_ mark: SnapshotMark) {
        guard mark.index > commitIndex, mark.index <= Limits.number, mark.term <= Limits.number, mark.configuration.isValid else { return }
        // A server that was elected meanwhile has everything that is committed (§5.4.3), so its log goes on.
        guard role != .leader || log.term(at: mark.index) == mark.term else { return }
        if mark.term > term { becomeFollower(term: mark.term, leader: nil) }
        let before = log.configuration
        if !log.install(mark) { forgetWrites(from: mark.index + 1) }
        commitIndex = mark.index
        stableIndex = max(stableIndex, mark.index)
        if log.configuration != before { effects.append(.configuration(log.configuration)) }
        guard role != .leader else { return committed(upTo: mark.index) }
        if !mayCampaign, role != .follower { becomeFollower(term: term, leader: nil) }
        matched = leader == nil ? 0 : max(matched, mark.index)
        acknowledge()
    }
}
