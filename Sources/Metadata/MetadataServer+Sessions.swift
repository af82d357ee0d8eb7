import Bytes
import Model
import Namespace
import Runtime
import Telemetry
import Transport

// Opening, renewing and closing sessions.
extension MetadataServer {
    /// Body: the session's name. The answer: `SessionReply`.
    func openSession(_ message: Transport.Message, _ channel: any Channel) async throws(TransportError) -> Transport.Message {
        let name = try decode(message) { reader throws(DecodeError) in try reader.string(max: MessageLimits.nameBytes) }
        try await waitForPhase { $0 != .catchingUp }
        guard let term = leadership?.term else { throw Refusal.notLeader(leader).error }
        var id = SessionID(rawValue: 0)
        while id == LeaseTable.nobody || sessions[id] != nil || leadership?.unclaimed.contains(id) == true {
            id = SessionID(rawValue: environment.random.next())
        }
        let outcome = try await propose(.openSession(id, name: name))
        guard case .done = outcome else { throw TransportError(.unavailable, "no more sessions can be opened") }
        guard leadership?.term == term else { throw Refusal.notLeader(leader).error }
        sessions[id] = MetadataSession(id: id, channel: channel, now: now)
        let reply = SessionReply(session: id, term: term, timeToLive: options.sessionTimeToLive)
        return Transport.Message(body: reply.encoded)
    }

    /// Body: header, and a `Claim` where the session comes from another leader. The answer: `SessionReply`.
    func renewSession(_ message: Transport.Message, _ channel: any Channel) async throws(TransportError) -> Transport.Message {
        let (header, claim) = try decode(message) { reader throws(DecodeError) in
            let header = try RequestHeader(from: &reader)
            return (header, try reader.optional { inner throws(DecodeError) in try Claim(from: &inner) })
        }
        try await waitForPhase { $0 != .catchingUp }
        // Only a leader that is one now may say that leases are good for another time to live.
        try await barrier()
        guard let leadership else { throw Refusal.notLeader(leader).error }
        guard header.session != LeaseTable.nobody else { throw Refusal.noSession.error }
        guard header.term == leadership.term else { throw Refusal.claim(term: leadership.term).error }
        if leadership.unclaimed.contains(header.session) {
            guard let claim else { throw Refusal.claim(term: leadership.term).error }
            take(claim, of: header.session, channel)
        } else {
            guard let session = sessions[header.session], !session.isFenced else { throw Refusal.noSession.error }
            session.lastSeen = now
            session.channel = channel
            for inode in header.released {
                table.release(inode, by: session.id, closed: true)
                changed(inode)
            }
            drainLanes()
        }
        let reply = SessionReply(session: header.session, term: leadership.term, timeToLive: options.sessionTimeToLive)
        return Transport.Message(body: reply.encoded)
    }

    private func take(_ claim: Claim, of id: SessionID, _ channel: any Channel) {
        let session = sessions[id] ?? MetadataSession(id: id, channel: channel, now: now)
        session.channel = channel
        session.lastSeen = now
        sessions[id] = session
        for inode in claim.exclusive where !table.claimExclusive(inode, by: id) {
            // Two holders of one inode: one of them lies or is broken. The later one is not believed.
            log.error("a session claims what another one holds", ["session": id.description, "inode": inode.description])
            fence(session)
            return
        }
        guard claimLocks(claim.locks, by: id) else {
            log.error("a session claims a lock that conflicts with another one's, or too many", ["session": id.description])
            return fence(session)
        }
        for inode in claim.open { table.setOpen(inode, id) }
        if claim.last { claimed(id) }
    }

    /// Body: header. Answered when the session is closed.
    func closeSession(_ message: Transport.Message, _ channel: any Channel) async throws(TransportError) -> Transport.Message {
        let header = try decode(message) { reader throws(DecodeError) in try RequestHeader(from: &reader) }
        try await waitForPhase { $0 != .catchingUp }
        guard let session = sessions[header.session], !session.isFenced else { throw Refusal.noSession.error }
        session.isFenced = true
        _ = try await propose(.closeSession(header.session))
        return Transport.Message()
    }
}
