import Consensus
import Model
import Namespace
import OrderedStore
import Runtime
import Telemetry
import Transport

// Coming into office and leaving it.
extension MetadataServer {
    func becameLeader(_ term: Term) {
        loseLeadership(hint: options.node)
        leader = options.node
        self.term = term
        leadership = Leadership(term: term, since: now)
        log.info("leads the metadata service", ["term": "\(term)"])
    }

    func follows(_ leader: NodeID?, _ term: Term) {
        let led = leadership != nil
        self.leader = leader
        self.term = max(term, self.term)
        loseLeadership(hint: leader)
        if led { log.info("leads no more", ["term": "\(term)", "leader": leader?.description ?? "unknown"]) }
    }

    /// The state is up to date: sessions may say what they hold.
    func beginGrace() {
        do throws(StoreError) {
            let known = try namespace.sessions()
            leadership?.phase = .grace
            leadership?.unclaimed = Set(known.map(\.session))
        } catch {
            fail("the sessions cannot be read: \(error.cause)")
            return
        }
        finishGraceIfAllClaimed()
        phaseChanged()
    }

    func claimed(_ session: SessionID) {
        leadership?.unclaimed.remove(session)
        finishGraceIfAllClaimed()
    }

    func finishGraceIfAllClaimed() {
        #if CANARIES
            if Canary.skipsGracePeriod.isActive, leadership?.phase == .grace {
                leadership?.phase = .serving
                return phaseChanged()
            }
        #endif
        guard let leadership, leadership.phase == .grace, leadership.unclaimed.isEmpty else { return }
        self.leadership?.phase = .serving
        phaseChanged()
    }

    /// Fences whoever was not heard of for its time to live.
    func checkSessions() {
        guard let leadership else { return }
        if leadership.phase == .grace, now >= leadership.since + options.sessionTimeToLive, !leadership.unclaimed.isEmpty {
            log.warning("sessions were not heard of after a change of leader and end", ["count": "\(leadership.unclaimed.count)"])
            for id in leadership.unclaimed {
                // Known from here on only as one that is being closed.
                let session = MetadataSession(id: id, channel: nil, now: now)
                sessions[id] = session
                fence(session)
            }
            self.leadership?.unclaimed = []
            finishGraceIfAllClaimed()
        }
        guard leadership.phase == .serving else { return }
        for session in sessions.values where !session.isFenced && now >= session.lastSeen + options.sessionTimeToLive {
            log.warning("a session was not heard of in time and ends", ["session": session.id.description])
            fence(session)
        }
        guard let hasEnded else { return }
        for session in sessions.values where !session.isFenced {
            guard let channel = session.channel, !channel.isOpen, hasEnded(channel.peer) else { continue }
            log.info("the process of a session has ended, and so does the session", ["session": session.id.description, "peer": channel.peer.label])
            fence(session)
        }
    }

    /// Ends a session against its will. Its leases go when the closing is committed: until then nobody gets what it held.
    func fence(_ session: MetadataSession) {
        guard !session.isFenced else { return }
        #if CANARIES
            if Canary.ignoresFencing.isActive {
                session.lastSeen = now
                for inode in table.drop(session.id) { changed(inode) }
                dropLocks(of: session.id)
                return
            }
        #endif
        session.isFenced = true
        fail(session.lane, .noSession)
        session.lane = []
        let command = PendingCommand(
            proposal: .init(session: nil, sequence: 0, acknowledgedBelow: 0, time: 0, command: .closeSession(session.id)), session: nil)
        propose(command)
    }

    /// A closed session holds nothing; whoever waited for it goes on.
    func sessionEnded(_ id: SessionID) {
        guard leadership != nil else { return }
        if let session = sessions.removeValue(forKey: id) {
            session.isFenced = true
            fail(session.lane, .noSession)
            session.lane = []
        }
        for inode in table.drop(id) { changed(inode) }
        dropLocks(of: id)
        leadership?.unclaimed.remove(id)
        finishGraceIfAllClaimed()
    }

    /// Everything that only a leader keeps is void; whoever waits is sent on.
    func loseLeadership(hint: NodeID?) {
        guard let old = leadership else { return }
        leadership = nil
        let commands = batches.values.flatMap { $0 } + pending[pendingStart...] + sessions.values.flatMap(\.lane)
        batches = [:]
        accepted = [:]
        pending = []
        pendingStart = 0
        sessions = [:]
        blockedLanes = [:]
        dirtyLanes = []
        scans = [:]
        for command in commands { command.finish(.failure(Refusal.notLeader(hint).error)) }
        table.reset()
        locks.reset()
        let waiters = inodeWaiters.values.flatMap { $0 }
        inodeWaiters = [:]
        for waiter in waiters { waiter.resume() }
        for waiter in old.waiters { waiter.resume() }
        let changes = changeWaiters.values
        changeWaiters = [:]
        for waiter in changes { waiter.resume(returning: .failure(MetadataServerError(.notLeader, "this server leads no more"))) }
        abandonReads()
        wakeApplied()
    }
}
