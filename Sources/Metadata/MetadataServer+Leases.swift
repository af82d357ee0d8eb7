import Bytes
import Model
import Namespace
import Runtime
import Telemetry
import Transport
import Wire

// Recalls, and everybody who waits for them.
extension MetadataServer {
    // MARK: Recalls

    /// Asks a holder to give a lease back, unless it is being asked.
    func recall(_ target: LeaseTable.Target) {
        guard let session = sessions[target.session] else {
            // It has ended meanwhile.
            for inode in table.drop(target.session) { changed(inode) }
            return
        }
        guard table.beginRecall(target) else { return }
        session.recalls += 1
        let request = RecallRequest(
            session: session.id, inode: target.inode, keepShared: target.keepShared, number: session.recalls)
        // Commands with what it has to flush may lie behind one that waits for somebody else.
        dirtyLanes.insert(session.id)
        Task { @LoopActor in await self.carry(request, to: session) }
    }

    /// Repeats the request, over whatever channel the session has, until it is answered or the session has ended.
    private func carry(_ request: RecallRequest, to session: MetadataSession) async {
        let body = request.encoded
        let started = now
        while sessions[session.id] === session, table.isRecalled(request.inode, from: session.id) {
            if !session.isFenced, now - started > options.recallDeadline {
                log.warning("a session does not give a lease back and ends", ["session": session.id.description])
                fence(session)
            }
            guard !session.isFenced, let channel = session.channel, channel.isOpen else {
                await environment.clock.sleep(nanoseconds: 50 * Nanoseconds.millisecond)
                continue
            }
            do throws(TransportError) {
                let reply = try await channel.call(.metadataRecall, Transport.Message(body: body), timeout: options.sessionTimeToLive)
                // A later term, or a later session of that id, has a table that knows nothing of this recall.
                guard sessions[session.id] === session else { return }
                session.lastSeen = max(session.lastSeen, started)
                table.endRecall(request.inode, from: session.id, stillOpen: reply.body.first != 0)
                changed(request.inode)
                drainLanes()
                return
            } catch {
                await environment.clock.sleep(nanoseconds: 50 * Nanoseconds.millisecond)
            }
        }
    }

    /// Takes the oldest shared leases back when there are too many.
    func trimLeases() {
        for target in table.overflow(max: 256) { recall(target) }
    }

    // MARK: Waiting

    /// Something about the inode's leases or intents is different: whoever waits for it looks again.
    func changed(_ inode: InodeID) {
        if let lanes = blockedLanes.removeValue(forKey: inode) { dirtyLanes.formUnion(lanes) }
        if let waiters = inodeWaiters.removeValue(forKey: inode) {
            for waiter in waiters { waiter.resume() }
        }
    }

    /// Suspends until `changed(inode)`, or the end of this leadership.
    func waitForChange(of inode: InodeID) async throws(TransportError) {
        guard waitingRequests < options.waitingRequests else { throw Refusal.busy.error }
        waitingRequests += 1
        await withUnsafeContinuation { inodeWaiters[inode, default: []].append($0) }
        waitingRequests -= 1
        guard leadership != nil else { throw Refusal.notLeader(leader).error }
    }

    // MARK: Requests about leases

    /// Body: header, and the inode to be held exclusively, if any; without, the request only brings releases. The answer: `Grants`, attributes.
    func lease(_ message: Transport.Message, _ channel: any Channel) async throws(TransportError) -> Transport.Message {
        let (header, wanted) = try decode(message) { reader throws(DecodeError) in
            let header = try RequestHeader(from: &reader)
            return (header, try reader.optional { inner throws(DecodeError) in try InodeID(from: &inner) })
        }
        guard let session = try await admit(header, channel) else { throw TransportError(.malformed, "a lease without a session") }
        guard let inode = wanted else { return Transport.Message() }
        let ticket = table.ticket()
        table.addIntent(.acquire, on: [inode], for: session.id, ticket: ticket)
        defer {
            table.removeIntent(ticket, on: [inode])
            changed(inode)
            drainLanes()
        }
        let term = leadership?.term
        while true {
            try await barrier()
            guard leadership?.term == term else { throw Refusal.notLeader(leader).error }
            guard !session.isFenced else { throw Refusal.noSession.error }
            var reply = ByteWriter(reserving: 256)
            guard case .attributes(let attributes) = try answer(.attributes(inode)) else {
                Grants(number: session.recalls).encode(to: &reply)
                reply.boolean(false)
                return Transport.Message(body: reply.bytes)
            }
            if table.grantExclusive(inode, to: session.id, before: ticket) {
                trimLeases()
                Grants(number: session.recalls, exclusive: [inode]).encode(to: &reply)
                reply.boolean(true)
                attributes.encode(to: &reply)
                return Transport.Message(body: reply.bytes)
            }
            for target in table.conflicts(inode, for: session.id, exclusive: true) { recall(target) }
            drainLanes()
            try await waitForChange(of: inode)
        }
    }
}
