import Bytes
package import Model
package import Namespace
package import Runtime
import Telemetry
import Transport
import Wire

// Advisory locks. The leader decides; this side knows what it was granted, to claim it from the next leader.
//
// Requests about one inode go out one after another. One that has to wait is answered at once with that, and granted later by a message of the leader: so it
// takes nothing up on the way, however long it waits. A change of leader ends the waiting there; the request is sent to the next leader as a new one.
//
// What is given up counts as given up from the moment when it is sent: an unlock whose answer was lost with the leader may have let somebody else in, and what
// that one holds must not be claimed a second time.
extension LeaderMetadataClient {
    /// Requests under way at once, and in all; above that: ENOLCK.
    private static let locksInFlight = 64
    private static let lockRequestsMax = 16_384
    /// How long a signal waits for the leader to say whether the lock was granted just before.
    private static let cancelPatience = 2 * Nanoseconds.second

    package func setLock(_ inode: InodeID, _ lock: FileLock, waits: Bool, interrupt: Interrupt?) async throws(MetadataError) -> LockOutcome {
        guard !isClosed else { throw MetadataError(.sessionLost, "the client is closed") }
        guard lockRequests < Self.lockRequestsMax || lock.mode == nil else { return .exhausted }
        lockRequests += 1
        defer { lockRequests -= 1 }
        let item = OutgoingLock(inode: inode, lock: lock, waits: waits, deadline: now &+ options.deadline)
        enqueue(.set(item), on: inode)
        // An unlock is carried out whatever happens, so nothing can be saved by not waiting for it.
        if lock.mode != nil { interrupt?.onRaise { [weak self] in self?.interrupted(item) } }
        defer { interrupt?.onRaise(nil) }
        return try await item.wait()
    }

    package func testLock(_ inode: InodeID, _ lock: FileLock) async throws(MetadataError) -> FileLock? {
        let deadline = now &+ options.deadline
        while true {
            let connection = try await connected(deadline)
            do throws(TransportError) {
                if case .conflict(let conflict) = try await ask(.test(inode: inode, lock: lock), over: connection, deadline) { return conflict }
                return nil
            } catch {
                try await recover(from: error, connection, deadline)
            }
        }
    }

    package func holdsLock(_ inode: InodeID, _ owner: LockOwner?) -> Bool {
        guard let owners = held.files[inode] else { return false }
        return owner.map { owners[$0] != nil } ?? true
    }

    private func ask(_ call: LockCall, over connection: Connection, _ deadline: UInt64) async throws(TransportError) -> LockAnswer {
        let (reply, _) = try await self.call(.metadataLock, over: connection, deadline) { call.encode(to: &$0) }
        // What another leader says about an earlier one's locks is void, and so is what one says that was left meanwhile.
        guard connection.generation == generation else { throw TransportError(.noAnswer, "the connection has ended") }
        return try decode(reply.body) { reader throws(DecodeError) in try LockAnswer(from: &reader) }
    }

    // MARK: Lanes

    private func enqueue(_ step: LockLane.Step, on inode: InodeID) {
        if let lane = lockLanes[inode] {
            lane.steps.append(step)
            return
        }
        let lane = LockLane()
        lane.steps = [step]
        lockLanes[inode] = lane
        Task { @LoopActor in await self.run(lane, inode) }
    }

    private func run(_ lane: LockLane, _ inode: InodeID) async {
        while !lane.isVoid, let step = lane.steps.first {
            if locksInFlight >= Self.locksInFlight { await withUnsafeContinuation { lockSlotWaiters.append($0) } }
            locksInFlight += 1
            switch step {
            case .set(let item): await send(item, in: lane)
            case .cancel(let item): await cancel(item, in: lane)
            }
            locksInFlight -= 1
            if !lockSlotWaiters.isEmpty { lockSlotWaiters.removeFirst().resume() }
            if !lane.isVoid { lane.steps.removeFirst() }
        }
        if lockLanes[inode] === lane { lockLanes[inode] = nil }
    }

    /// The connection; waits for it, whoever else gives up, while the session lives.
    private func connection(for lane: LockLane) async -> Connection? {
        while !isClosed, !lane.isVoid {
            if let found = try? await connected(now &+ 10 * Nanoseconds.second) { return lane.isVoid ? nil : found }
        }
        return nil
    }

    /// Tries until the leader has answered.
    private func send(_ item: OutgoingLock, in lane: LockLane) async {
        while let connection = await connection(for: lane) {
            if item.number == nil || item.term != term {
                forget(item)
                // No leader of this term knows of it. An unlock is carried out all the same.
                if item.isAbandoned, item.lock.mode != nil { return }
                if item.isUnwanted { return item.finish(.success(.interrupted)) }
                let number = newLockNumber()
                item.number = number
                item.term = term
                lockCalls[number] = item
            }
            guard let number = item.number else { return }
            unansweredLocks.insert(number)
            let call =
                item.isAbandoned && item.lock.mode != nil
                ? cancelCall(item, number)
                : .set(number: number, acknowledgedBelow: lockFloor, inode: item.inode, lock: item.lock, waits: item.waits)
            let answer: LockAnswer
            do throws(TransportError) {
                answer = try await ask(call, over: connection, now &+ options.deadline)
            } catch {
                if lane.isVoid { return }
                do throws(MetadataError) { try await recover(from: error, connection, .max) } catch {
                    if lane.isVoid { return }
                    // Said by a leader that is not the present one, or of a session before.
                    if error.code == .sessionLost, !isClosed { continue }
                    forget(item)
                    return item.finish(.failure(error))
                }
                continue
            }
            if lane.isVoid { return }
            unansweredLocks.remove(number)
            endCancel(item)
            return take(answer, for: item, in: lane)
        }
    }

    private var lockFloor: UInt64 { unansweredLocks.min() ?? nextLock }

    private func newLockNumber() -> UInt64 {
        nextLock += 1
        return nextLock - 1
    }

    private func cancelCall(_ item: OutgoingLock, _ target: UInt64) -> LockCall {
        let number = item.cancelNumber ?? newLockNumber()
        item.cancelNumber = number
        unansweredLocks.insert(number)
        return .cancel(number: number, acknowledgedBelow: lockFloor, inode: item.inode, target: target)
    }

    private func endCancel(_ item: OutgoingLock) {
        if let number = item.cancelNumber { unansweredLocks.remove(number) }
        item.cancelNumber = nil
    }

    private func take(_ answer: LockAnswer, for item: OutgoingLock, in lane: LockLane) {
        // To convert a lock on a whole file, the leader has taken the old one away.
        if item.lock.owner.family == .flock, item.lock.mode != nil { held.weaken(item.inode, item.lock) }
        switch answer {
        case .granted: granted(item, lane)
        case .waits:
            if item.isGrantedEarly { return granted(item, lane) }
            item.isQueued = true
            // Before the next request of its owner, which would count as what is to be undone.
            if item.isUnwanted || item.isAbandoned { lane.steps.insert(.cancel(item), at: min(1, lane.steps.count)) }
        case .conflict(let conflict): end(item, .conflict(conflict), lane)
        case .deadlock: end(item, .deadlock, lane)
        case .exhausted: end(item, .exhausted, lane)
        case .cancelled: end(item, .interrupted, lane)
        }
    }

    private func granted(_ item: OutgoingLock, _ lane: LockLane?) {
        forget(item)
        if item.isAbandoned, item.lock.mode != nil {
            if let lane { restore(item, lane) }
            return
        }
        held.set(item.inode, item.lock)
        guard leaseRemaining == 0, item.lock.mode != nil else { return item.finish(.success(.granted)) }
        item.isGranted = true
        let granting = session
        Task { @LoopActor in await confirm(item, granting) }
    }

    /// Tells the caller of a grant when it is known whether the session lives. A grant that lay in a socket while this process was stopped may be of one that
    /// has ended: others have the lock by now.
    private func confirm(_ item: OutgoingLock, _ granting: SessionID) async {
        while leaseRemaining == 0, session == granting, !isClosed { await environment.clock.sleep(nanoseconds: 10 * Nanoseconds.millisecond) }
        let lives = session == granting && !isClosed
        item.finish(lives ? .success(.granted) : .failure(MetadataError(.sessionLost, "the session with the metadata service has ended")))
    }

    /// The leader did not grant it.
    private func end(_ item: OutgoingLock, _ outcome: LockOutcome, _ lane: LockLane) {
        forget(item)
        // Whether the lock that was to be converted is gone depends on whether the request ever reached the leader.
        if item.isAbandoned, item.lock.owner.family == .flock { restore(item, lane) }
        item.finish(.success(outcome))
    }

    /// The leader granted what the caller was told it had not got: makes it again what the caller has. Before anything else about the inode is said.
    private func restore(_ item: OutgoingLock, _ lane: LockLane) {
        var steps: [LockLane.Step] = []
        func add(_ first: UInt64, _ last: UInt64, _ mode: LockMode?) {
            guard let range = LockRange(first, last) else { return }
            let lock = FileLock(item.lock.owner, process: item.lock.process, range, mode)
            steps.append(.set(OutgoingLock(inode: item.inode, lock: lock, waits: false, deadline: .max)))
        }
        var next = item.lock.range.first
        for piece in held.pieces(item.inode, item.lock.owner).overlapping(item.lock.range) {
            if piece.range.first > next { add(next, piece.range.first - 1, nil) }
            if piece.mode != item.lock.mode { add(piece.range.first, piece.range.last, piece.mode) }
            next = piece.range.last + 1
        }
        add(next, item.lock.range.last, nil)
        lane.steps.insert(contentsOf: steps, at: min(1, lane.steps.count))
    }

    private func forget(_ item: OutgoingLock) {
        if let number = item.number {
            lockCalls[number] = nil
            unansweredLocks.remove(number)
        }
        endCancel(item)
        item.number = nil
        item.isQueued = false
        item.isGrantedEarly = false
    }

    // MARK: Signals and deadlines

    private func interrupted(_ item: OutgoingLock) {
        guard item.result == nil, !item.isUnwanted, !item.isGranted else { return }
        item.isUnwanted = true
        // Not sent to anybody: whoever comes to it finds it unwanted.
        guard item.number != nil else {
            item.isAbandoned = true
            return item.finish(.success(.interrupted))
        }
        if item.isQueued { enqueue(.cancel(item), on: item.inode) }
        _ = environment.clock.schedule(after: Self.cancelPatience) { item.abandon(.success(.interrupted)) }
    }

    /// Fails what was not answered in time. Called twice a second.
    func expireLocks(_ now: UInt64) {
        for lane in lockLanes.values {
            for case .set(let item) in lane.steps where item.deadline <= now && !item.isQueued { item.abandon(.failure(Self.unavailable)) }
        }
    }

    private func cancel(_ item: OutgoingLock, in lane: LockLane) async {
        // It may have been granted, or its leader lost, before this had its turn.
        while item.isQueued, let connection = await connection(for: lane) {
            guard item.isQueued, item.term == term, let number = item.number else { return }
            let answer: LockAnswer
            do throws(TransportError) {
                answer = try await ask(cancelCall(item, number), over: connection, now &+ options.deadline)
            } catch {
                if lane.isVoid { return }
                do throws(MetadataError) { try await recover(from: error, connection, .max) } catch {
                    if lane.isVoid || error.code != .sessionLost || isClosed { return }
                }
                continue
            }
            endCancel(item)
            // The message that it is granted may have come meanwhile.
            guard !lane.isVoid, item.isQueued else { return }
            switch answer {
            case .granted: granted(item, lane)
            default: end(item, .interrupted, lane)
            }
            return
        }
    }

    // MARK: Messages of the leader

    /// Answers requests of kind `.metadataLockGranted`.
    func takeGrants(_ message: Transport.Message) throws(TransportError) -> Transport.Message {
        let grants = try decode(message.body) { reader throws(DecodeError) in try LockGrants(from: &reader) }
        guard grants.session == session else { return Transport.Message() }
        for number in grants.numbers {
            guard let item = lockCalls[number] else { continue }
            // What is abandoned is undone where it is cancelled.
            if !item.isQueued { item.isGrantedEarly = true } else if !item.isAbandoned { granted(item, nil) }
        }
        return Transport.Message()
    }

    // MARK: The session's life

    /// What is held, for a new leader; and what waited at the old one is made ready to be sent anew. Nothing may be awaited between the moment from which
    /// answers of the old leader do not count and this.
    func lockClaims() -> [ClaimedLock] {
        for lane in lockLanes.values {
            for case .set(let item) in lane.steps where item.number != nil { held.weaken(item.inode, item.lock) }
        }
        for item in lockCalls.values.filter(\.isQueued).sorted(by: { $0.number ?? 0 < $1.number ?? 0 }) {
            held.weaken(item.inode, item.lock)
            forget(item)
            item.deadline = now &+ options.deadline
            if item.isUnwanted { item.finish(.success(.interrupted)) }
            if item.result == nil { enqueue(.set(item), on: item.inode) }
        }
        return held.all
    }

    /// Everything that was held or asked for is void.
    func loseLocks(_ error: MetadataError) {
        let items = lockLanes.values.flatMap { lane in lane.steps.compactMap { if case .set(let item) = $0 { item } else { nil } } } + lockCalls.values
        for lane in lockLanes.values {
            lane.isVoid = true
            lane.steps = []
        }
        lockLanes = [:]
        lockCalls = [:]
        unansweredLocks = []
        held = HeldLocks()
        // There is nothing left to be unlocked.
        for item in items { item.finish(item.lock.mode == nil ? .success(.granted) : .failure(error)) }
    }
}
