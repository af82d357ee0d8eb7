import Bytes
import Model
import Namespace
import Runtime
import Telemetry
import Transport
import Wire

// Advisory locks. They belong to sessions, as leases do, and like these the leader keeps them in memory.
extension MetadataServer {
    /// Requests of a session that are under way at once, by their numbers.
    private static let numbersAhead: UInt64 = 4096

    /// Body: header, `LockCall`. The answer: `LockAnswer`.
    func lock(_ message: Transport.Message, _ channel: any Channel) async throws(TransportError) -> Transport.Message {
        let (header, call) = try decode(message) { reader throws(DecodeError) in
            let header = try RequestHeader(from: &reader)
            return (header, try LockCall(from: &reader))
        }
        guard let session = try await admit(header, channel) else { throw TransportError(.malformed, "a lock without a session") }
        let term = leadership?.term
        // An answer makes the session's leases good for another time to live, so only a leader that is one now may give it.
        try await barrier()
        guard leadership?.term == term else { throw Refusal.notLeader(leader).error }
        guard !session.isFenced else { throw Refusal.noSession.error }
        return Transport.Message(body: try carryOut(call, for: session).encoded)
    }

    private func carryOut(_ call: LockCall, for session: MetadataSession) throws(TransportError) -> LockAnswer {
        switch call {
        case .test(let inode, let lock):
            guard let mode = lock.mode else { return .granted }
            return locks.test(inode, LockHolder(session.id, lock.owner), lock.range, mode).map { .conflict(Self.shown($0, to: session)) } ?? .granted
        case .set(let number, let acknowledged, let inode, let lock, let waits):
            if let known = try answer(to: number, acknowledged, session) { return known }
            let change = locks.set(
                inode, LockHolder(session.id, lock.owner), process: lock.process, lock.range, lock.mode,
                wait: waits ? LockTable.WaitID(session.id, number) : nil)
            let answer: LockAnswer =
                switch change.outcome {
                case .granted: .granted
                case .conflict(let conflict): .conflict(Self.shown(conflict, to: session))
                case .waits: .waits
                case .deadlock: .deadlock
                case .exhausted: .exhausted
                }
            session.lockAnswers[number] = answer
            tellGranted(change.granted)
            return session.lockAnswers[number] ?? answer
        case .cancel(let number, let acknowledged, let inode, let target):
            if let known = try answer(to: number, acknowledged, session) { return known }
            let answer = cancel(target, on: inode, of: session)
            session.lockAnswers[number] = answer
            return answer
        }
    }

    /// What a request was answered with when it came before.
    private func answer(to number: UInt64, _ acknowledged: UInt64, _ session: MetadataSession) throws(TransportError) -> LockAnswer? {
        session.acknowledge(locksBelow: acknowledged)
        guard number >= session.lockFloor, number - session.lockFloor < Self.numbersAhead else {
            throw TransportError(.malformed, "the request about a lock is over, or too far ahead")
        }
        return session.lockAnswers[number]
    }

    private func cancel(_ number: UInt64, on inode: InodeID, of session: MetadataSession) -> LockAnswer {
        if locks.cancel(LockTable.WaitID(session.id, number), on: inode) {
            if number >= session.lockFloor { session.lockAnswers[number] = .cancelled }
            return .cancelled
        }
        if let known = session.lockAnswers[number] { return known }
        // The session knows that it waited, and it waits no more.
        guard number >= session.lockFloor else { return .granted }
        // It may still come, over a connection that was given up.
        if number - session.lockFloor < Self.numbersAhead { session.lockAnswers[number] = .cancelled }
        return .cancelled
    }

    /// A lock in the way of `session`.
    private static func shown(_ conflict: LockInfo, to session: MetadataSession) -> FileLock {
        FileLock(conflict.holder.owner, process: conflict.holder.session == session.id ? conflict.process : 0, conflict.range, conflict.mode)
    }

    /// The session's locks are free, for whoever waits.
    func dropLocks(of session: SessionID) { tellGranted(locks.drop(session)) }

    /// Tells sessions what they waited for.
    private func tellGranted(_ granted: [LockTable.WaitID]) {
        for id in granted {
            guard let session = sessions[id.session] else { continue }
            if session.lockAnswers[id.number] != nil { session.lockAnswers[id.number] = .granted }
            session.lockGrants.append(id.number)
            guard !session.isToldGrants else { continue }
            session.isToldGrants = true
            Task { @LoopActor in await self.carryGrants(to: session) }
        }
    }

    /// Repeats the message, over whatever channel the session has, until it is answered or the session has ended.
    private func carryGrants(to session: MetadataSession) async {
        while sessions[session.id] === session, !session.lockGrants.isEmpty {
            guard !session.isFenced, let channel = session.channel, channel.isOpen else {
                await environment.clock.sleep(nanoseconds: 50 * Nanoseconds.millisecond)
                continue
            }
            let numbers = Array(session.lockGrants.prefix(MessageLimits.lockGrants))
            do throws(TransportError) {
                let body = LockGrants(session: session.id, numbers: numbers).encoded
                _ = try await channel.call(.metadataLockGranted, Transport.Message(body: body), timeout: options.sessionTimeToLive)
                session.lockGrants.removeFirst(numbers.count)
            } catch {
                await environment.clock.sleep(nanoseconds: 50 * Nanoseconds.millisecond)
            }
        }
        session.isToldGrants = false
    }

    /// Takes in what a session held under the leader before.
    /// - Returns: false if that cannot be.
    func claimLocks(_ claimed: [ClaimedLock], by session: SessionID) -> Bool {
        for item in claimed {
            guard let mode = item.lock.mode else { return false }
            let holder = LockHolder(session, item.lock.owner)
            guard locks.claim(item.inode, holder, process: item.lock.process, item.lock.range, mode) else { return false }
        }
        return true
    }
}
