import Bytes
import Model
import Namespace
import Runtime
import Telemetry
import Transport
import Wire

// Finding the leader, following it, and the session's life.
extension LeaderMetadataClient {
    private static let connectTimeout = 2 * Nanoseconds.second
    /// A leader that does not answer a renewal for so long is taken for dead.
    private static let renewalTimeout = 3 * Nanoseconds.second
    /// How long a request may be unanswered before the leader is asked whether it lives.
    private static let patience = 1 * Nanoseconds.second

    /// So many attempts without a leader make a client ask who else there is.
    private static let failuresBeforeLearning = 8

    /// The present connection; waits for one.
    func connected(_ deadline: UInt64) async throws(MetadataError) -> Connection {
        if let connection { return connection }
        guard !isClosed else { throw MetadataError(.sessionLost, "the client is closed") }
        guard now < deadline else { throw Self.unavailable }
        startConnecting()
        let found = await withUnsafeContinuation { waiters.append((deadline, $0)) }
        guard let found else {
            throw isClosed ? MetadataError(.sessionLost, "the client is closed") : Self.unavailable
        }
        return found
    }

    static var unavailable: MetadataError { MetadataError(.unavailable, "no leader of the metadata service answered in time") }

    func wake(_ connection: Connection?) {
        let all = waiters
        waiters = []
        for waiter in all { waiter.continuation.resume(returning: connection) }
    }

    /// What an error means for the connection and the session. Returns if the request may be sent again.
    func recover(from error: TransportError, _ connection: Connection, _ deadline: UInt64) async throws(MetadataError) {
        switch error.code {
        case .denied: throw MetadataError(.protocolViolation, "the metadata service does not allow this: \(error.cause)")
        case .malformed: throw MetadataError(.protocolViolation, error.cause)
        case .failed:
            switch Refusal.of(error) {
            case .notLeader(let leader): disconnect(connection, hint: leader == connection.node ? nil : leader)
            case .claim: disconnect(connection, hint: connection.node)
            case .noSession:
                if connection.generation == generation { sessionLost() }
                throw MetadataError(.sessionLost, "the session with the metadata service has ended")
            case .busy: await environment.clock.sleep(nanoseconds: 20 * Nanoseconds.millisecond)
            case nil: throw MetadataError(.protocolViolation, error.cause)
            }
        case .unreachable, .noAnswer, .unavailable, .notAuthentic: disconnect(connection, hint: nil)
        }
        guard now < deadline else { throw Self.unavailable }
    }

    /// The connection does not lead to a leader (any more).
    func disconnect(_ old: Connection, hint: NodeID?) {
        guard old.generation == generation, connection != nil else { return }
        connection = nil
        failures += 1
        self.hint = hint
        startConnecting()
    }

    // MARK: Connecting

    func startConnecting() {
        startTicking()
        guard connection == nil, !isConnecting, !isClosed else { return }
        isConnecting = true
        Task { @LoopActor in await self.connect() }
    }

    private func connect() async {
        while connection == nil, !isClosed {
            // One round over the servers at once, then slower and slower.
            if failures >= max(1, nodes.count) {
                let exponent = min(UInt64(failures / max(1, nodes.count)), 4)
                await environment.clock.sleep(nanoseconds: (10 * Nanoseconds.millisecond) << exponent)
                if failures % Self.failuresBeforeLearning == 0 { await onNoLeader?() }
            }
            guard !isClosed, let node = hint ?? nextCandidate() else {
                failures += 1
                continue
            }
            hint = nil
            do throws(TransportError) {
                let channel = try await requests.channel(to: node, timeout: Self.connectTimeout)
                try await greet(node, channel)
                guard !isClosed else { break }
                generation += 1
                let made = Connection(node: node, channel: channel, generation: generation)
                connection = made
                channel.onClose { [weak self] in self?.disconnect(made, hint: nil) }
            } catch {
                failures += 1
                log.debug("no session with this server", ["node": "\(node)", "failures": "\(failures)", "cause": error.cause])
                switch Refusal.of(error) {
                case .notLeader(let leader): if leader != node { hint = leader }
                case .claim: hint = node
                case .noSession: sessionLost()
                case .busy, nil: break
                }
            }
        }
        isConnecting = false
        guard let connection else { return }
        resendAll()
        wake(connection)
    }

    private func nextCandidate() -> NodeID? {
        guard !nodes.isEmpty else { return nil }
        nextNode = (nextNode + 1) % nodes.count
        return nodes[nextNode]
    }

    /// What was not answered goes out again, in order.
    private func resendAll() {
        unsent = outstanding.filter(\.isOutstanding)
        pump()
    }

    /// Opens the session, or makes sure that the server leads and knows what this session holds.
    private func greet(_ node: NodeID, _ channel: any Channel) async throws(TransportError) {
        guard options.hasSession else { return }
        if session == LeaseTable.nobody {
            var writer = ByteWriter()
            writer.string(options.name)
            let sent = now
            let reply = try await channel.call(.metadataSessionOpen, Transport.Message(body: writer.bytes), timeout: timeToLive)
            guard let opened = try? SessionReply(decoding: reply.body) else {
                throw TransportError(.malformed, "the leader's answer cannot be decoded")
            }
            session = opened.session
            take(opened, sentAt: sent)
            return
        }
        do throws(TransportError) {
            try await renew(channel, term: term, claim: nil, timeout: Self.renewalTimeout)
        } catch {
            guard case .claim(let newer) = Refusal.of(error) else { throw error }
            try await claim(newer, channel)
        }
    }

    private func take(_ reply: SessionReply, sentAt: UInt64) {
        term = reply.term
        timeToLive = reply.timeToLive
        lastRenewal = sentAt
        validUntil = max(validUntil, sentAt &+ timeToLive)
    }

    private func renew(_ channel: any Channel, term: UInt64, claim: Claim?, timeout: UInt64) async throws(TransportError) {
        var writer = ByteWriter(reserving: 64)
        let asked = session
        RequestHeader(session: session, term: term, released: []).encode(to: &writer)
        writer.optional(claim) { $1.encode(to: &$0) }
        let sent = now
        let message = try await channel.call(.metadataSessionRenew, Transport.Message(body: writer.bytes), timeout: timeout)
        guard let reply = try? SessionReply(decoding: message.body) else {
            throw TransportError(.malformed, "the leader's answer cannot be decoded")
        }
        guard asked == session else { throw Refusal.noSession.error }
        take(reply, sentAt: sent)
    }

    /// Tells a new leader what is held. It knows nothing of shared leases, so those are given up first: nothing may be cached under them
    /// when it begins to serve others.
    private func claim(_ newer: UInt64, _ channel: any Channel) async throws(TransportError) {
        // Answers of the old leader that are still on their way grant nothing any more.
        generation += 1
        recalled.removeAll()
        recallFloor = 0
        var locks = lockClaims()
        for (inode, isExclusive) in leases where !isExclusive {
            leases.removeValue(forKey: inode)
            guard let answer = await onRecall?(Recall(inode: inode, keepShared: false)), answer.stillOpen else { continue }
            opens.insert(inode)
        }
        var exclusive = leases.compactMap { $0.value ? $0.key : nil }
        var open = Array(opens)
        while true {
            let part = Claim(
                exclusive: Array(exclusive.prefix(MessageLimits.claims)), open: Array(open.prefix(MessageLimits.claims)),
                locks: Array(locks.prefix(MessageLimits.claims)),
                last: max(exclusive.count, open.count, locks.count) <= MessageLimits.claims)
            exclusive.removeFirst(part.exclusive.count)
            open.removeFirst(part.open.count)
            locks.removeFirst(part.locks.count)
            try await renew(channel, term: newer, claim: part, timeout: Self.renewalTimeout)
            if part.last { return }
        }
    }

    // MARK: The session's life

    /// Everything that was held is void.
    func sessionLost() {
        guard session != LeaseTable.nobody else { return }
        log.warning("the session with the metadata service was lost", ["session": session.description])
        session = LeaseTable.nobody
        term = 0
        validUntil = 0
        generation += 1
        connection = nil
        leases = [:]
        opens = []
        recalled = [:]
        recallFloor = 0
        releases = []
        released = [:]
        releaseFloor = 0
        nextSequence = 1
        let commands = outstanding
        outstanding = []
        doubtful = [:]
        unsent = []
        for item in commands { item.finish(.failure(MetadataError(.sessionLost, "the session with the metadata service has ended"))) }
        onSessionLost?()
        loseLocks(MetadataError(.sessionLost, "the session with the metadata service has ended"))
    }

    private func startTicking() {
        guard !isTicking, !isClosed else { return }
        isTicking = true
        scheduleTick()
    }

    private func scheduleTick() {
        _ = environment.clock.schedule(after: 500 * Nanoseconds.millisecond) { [weak self] in
            guard let self, !self.isClosed else { return }
            self.tick()
            self.scheduleTick()
        }
    }

    private func tick() {
        let now = now
        giveUpLate()
        expireLocks(now)
        if waiters.contains(where: { $0.deadline <= now }) {
            let expired = waiters.filter { $0.deadline <= now }
            waiters.removeAll { $0.deadline <= now }
            for waiter in expired { waiter.continuation.resume(returning: nil) }
        }
        guard let connection, options.hasSession, session != LeaseTable.nobody, !isRenewing else { return }
        let oldest = unanswered.values.min() ?? now
        let isDue = now >= lastRenewal &+ timeToLive / 3
        let isDoubtful = now >= oldest &+ Self.patience && now >= lastRenewal &+ Self.patience
        guard isDue || isDoubtful else { return }
        isRenewing = true
        Task { @LoopActor in
            do throws(TransportError) {
                try await self.renew(connection.channel, term: self.term, claim: nil, timeout: Self.renewalTimeout)
            } catch {
                if Refusal.of(error) == nil, connection.generation == self.generation {
                    // It hangs. Ending the channel fails everything that waits on it, so that it is asked elsewhere.
                    connection.channel.close()
                }
                if Refusal.of(error) == .noSession, connection.generation == self.generation {
                    self.sessionLost()
                } else {
                    self.disconnectAfter(error, connection)
                }
            }
            self.isRenewing = false
        }
    }

    private func disconnectAfter(_ error: TransportError, _ connection: Connection) {
        switch Refusal.of(error) {
        case .notLeader(let leader): disconnect(connection, hint: leader)
        case .claim: disconnect(connection, hint: connection.node)
        case .busy: break
        case .noSession, nil: disconnect(connection, hint: nil)
        }
    }
}
