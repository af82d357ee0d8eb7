package import Model

/// The advisory locks of all sessions, and who waits for them. Volatile, a pure value: whom to tell of a grant is the caller's business.
///
/// As Linux has it (fs/locks.c; fcntl(2), flock(2)): a request is granted as soon as no lock of another owner conflicts with it. It never waits for others
/// that wait: POSIX lets F_SETLK fail only because of a lock that is held, and a reader that waited behind a waiting writer could keep a program from ever
/// coming to its unlock. When something is given up, those that wait are looked at in the order in which they came, before anybody new; but who converts a
/// lock comes before them, so that an exclusive lock can always come down to a shared one.
package struct LockTable: Sendable {
    package struct Limits: Sendable {
        /// Pieces of locks, in all and of one session.
        package var total = 1_000_000
        package var session = 65_536
        /// Waiting requests, in all and of one session.
        package var totalWaiting = 65_536
        package var sessionWaiting = 8192

        package init() {}
    }

    /// Names a request that may wait. The session never uses a number twice.
    package struct WaitID: Hashable, Sendable {
        package var session: SessionID
        package var number: UInt64

        package init(_ session: SessionID, _ number: UInt64) {
            self.session = session
            self.number = number
        }
    }

    package enum Outcome: Equatable, Sendable {
        case granted
        /// Not granted, and not to wait.
        case conflict(LockInfo)
        /// Will be granted later: see `Change.granted`.
        case waits
        /// To wait would be to wait for oneself (EDEADLK).
        case deadlock
        /// A limit is reached (ENOLCK).
        case exhausted
    }

    package struct Change: Equatable, Sendable {
        package var outcome: Outcome
        /// Requests that waited and have their locks now, in this order.
        package var granted: [WaitID]
    }

    struct Holding {
        var pieces = LockPieces()
        /// Of the latest request.
        var process: UInt32 = 0
    }

    struct Waiter {
        var id: WaitID
        var holder: LockHolder
        var process: UInt32
        var range: LockRange
        var mode: LockMode
    }

    struct File {
        var holdings: [LockHolder: Holding] = [:]
        /// In the order in which they came.
        var waiters: [Waiter] = []

        var isEmpty: Bool { holdings.isEmpty && waiters.isEmpty }
    }

    private struct Usage {
        var pieces = 0
        var waiting = 0
        /// Files on which the session holds or wants something.
        var files: Set<InodeID> = []
    }

    var files: [InodeID: File] = [:]
    /// Where the waiting requests of an owner of byte ranges are.
    var waits: [LockHolder: [WaitID: InodeID]] = [:]
    private var usage: [SessionID: Usage] = [:]
    private let limits: Limits
    /// Pieces of locks that are held.
    package private(set) var count = 0
    package private(set) var waitingCount = 0

    package init(limits: Limits = Limits()) { self.limits = limits }

    package mutating func reset() { self = LockTable(limits: limits) }

    // MARK: Requests

    /// Locks a range, or (`mode` nil) unlocks it.
    /// - Parameter wait: how to name the request if it has to wait; nil: it is not to wait. Must not be waiting already.
    package mutating func set(
        _ inode: InodeID, _ holder: LockHolder, process: UInt32, _ range: LockRange, _ mode: LockMode?, wait: WaitID? = nil
    ) -> Change {
        guard let mode else {
            guard fits(inode, holder, range, nil) else { return Change(outcome: .exhausted, granted: []) }
            apply(inode, holder, process, range, nil)
            return Change(outcome: .granted, granted: grantWaiting(inode))
        }
        var isFreed = false
        if holder.owner.family == .flock, let held = files[inode]?.holdings[holder]?.pieces.pieces.first {
            if held.mode == mode { return Change(outcome: .granted, granted: []) }
            // flock(2): to convert a lock is to give it up and then to ask for another.
            apply(inode, holder, process, .all, nil)
            isFreed = true
        }
        let outcome = request(inode, holder, process, range, mode, wait)
        // What was exclusive may be shared now.
        return Change(outcome: outcome, granted: isFreed || outcome == .granted && mode == .shared ? grantWaiting(inode) : [])
    }

    private mutating func request(
        _ inode: InodeID, _ holder: LockHolder, _ process: UInt32, _ range: LockRange, _ mode: LockMode, _ wait: WaitID?
    ) -> Outcome {
        guard let conflict = test(inode, holder, range, mode) else {
            guard fits(inode, holder, range, mode) else { return .exhausted }
            apply(inode, holder, process, range, mode)
            return .granted
        }
        guard let wait else { return .conflict(conflict) }
        if holder.owner.family == .posix, closesCircle(holder, inode, range, mode) { return .deadlock }
        guard waitingCount < limits.totalWaiting, usage[holder.session]?.waiting ?? 0 < limits.sessionWaiting else { return .exhausted }
        files[inode, default: File()].waiters.append(Waiter(id: wait, holder: holder, process: process, range: range, mode: mode))
        if holder.owner.family == .posix { waits[holder, default: [:]][wait] = inode }
        waitingCount += 1
        usage[holder.session, default: Usage()].waiting += 1
        usage[holder.session]?.files.insert(inode)
        return .waits
    }

    /// A lock that keeps `holder` from having one; the one that begins first.
    package func test(_ inode: InodeID, _ holder: LockHolder, _ range: LockRange, _ mode: LockMode) -> LockInfo? {
        var result: LockInfo?
        for (other, holding) in files[inode]?.holdings ?? [:] where other != holder && other.owner.family == holder.owner.family {
            #if CANARIES
                if Canary.grantsConflictingLocks.isActive, other.session != holder.session { continue }
            #endif
            guard let piece = holding.pieces.conflict(range, mode) else { continue }
            if let known = result, known.order < (piece.range.first, other.session.rawValue, other.owner.id) { continue }
            result = LockInfo(holder: other, process: holding.process, range: piece.range, mode: piece.mode)
        }
        return result
    }

    /// A request waits no more.
    /// - Returns: false if it did not wait.
    package mutating func cancel(_ id: WaitID, on inode: InodeID) -> Bool {
        guard let index = files[inode]?.waiters.firstIndex(where: { $0.id == id }) else { return false }
        removeWaiter(inode, index)
        tidy(inode, id.session)
        return true
    }

    /// The session is over: its locks are free.
    /// - Returns: the requests of others that are granted by that.
    package mutating func drop(_ session: SessionID) -> [WaitID] {
        guard let inodes = usage[session]?.files else { return [] }
        var granted: [WaitID] = []
        for inode in inodes.sorted() {
            for index in (files[inode]?.waiters.indices ?? 0..<0).reversed() where files[inode]?.waiters[index].holder.session == session {
                removeWaiter(inode, index)
            }
            for (holder, holding) in files[inode]?.holdings ?? [:] where holder.session == session {
                files[inode]?.holdings[holder] = nil
                count -= holding.pieces.count
            }
            granted += grantWaiting(inode)
            if files[inode]?.isEmpty ?? false { files[inode] = nil }
        }
        usage[session] = nil
        return granted
    }

    /// What a session says it held under the leader before.
    /// - Returns: false if that cannot be, because of another session's claim or of a limit.
    package mutating func claim(_ inode: InodeID, _ holder: LockHolder, process: UInt32, _ range: LockRange, _ mode: LockMode) -> Bool {
        guard holder.owner.family == .posix || range == .all, test(inode, holder, range, mode) == nil, fits(inode, holder, range, mode) else { return false }
        apply(inode, holder, process, range, mode)
        return true
    }

    // MARK: Changes

    private func fits(_ inode: InodeID, _ holder: LockHolder, _ range: LockRange, _ mode: LockMode?) -> Bool {
        let growth = (files[inode]?.holdings[holder]?.pieces ?? LockPieces()).growth(range, mode)
        return growth <= 0 || (count + growth <= limits.total && (usage[holder.session]?.pieces ?? 0) + growth <= limits.session)
    }

    private mutating func apply(_ inode: InodeID, _ holder: LockHolder, _ process: UInt32, _ range: LockRange, _ mode: LockMode?) {
        if mode == nil, files[inode]?.holdings[holder] == nil { return }
        // In place: a copy of many pieces would be dear.
        let before = files[inode]?.holdings[holder]?.pieces.count ?? 0
        files[inode, default: File()].holdings[holder, default: Holding()].pieces.set(range, mode)
        let after = files[inode]?.holdings[holder]?.pieces.count ?? 0
        if mode != nil { files[inode]?.holdings[holder]?.process = process }
        count += after - before
        usage[holder.session, default: Usage()].pieces += after - before
        usage[holder.session]?.files.insert(inode)
        guard after == 0 else { return }
        files[inode]?.holdings[holder] = nil
        tidy(inode, holder.session)
    }

    /// Forgets what is empty.
    private mutating func tidy(_ inode: InodeID, _ session: SessionID) {
        guard let file = files[inode] else { return }
        if file.isEmpty { files[inode] = nil }
        if !file.holdings.keys.contains(where: { $0.session == session }), !file.waiters.contains(where: { $0.holder.session == session }) {
            usage[session]?.files.remove(inode)
        }
        if let known = usage[session], known.files.isEmpty { usage[session] = nil }
    }

    private mutating func removeWaiter(_ inode: InodeID, _ index: Int) {
        guard let waiter = files[inode]?.waiters.remove(at: index) else { return }
        waits[waiter.holder]?[waiter.id] = nil
        if waits[waiter.holder]?.isEmpty ?? false { waits[waiter.holder] = nil }
        waitingCount -= 1
        usage[waiter.holder.session]?.waiting -= 1
    }

    /// Grants what can be granted, in the order of arrival. Room for what waits was not kept: these few pieces may be over the limit.
    private mutating func grantWaiting(_ inode: InodeID) -> [WaitID] {
        var granted: [WaitID] = []
        var index = 0
        while let file = files[inode], index < file.waiters.count {
            let waiter = file.waiters[index]
            guard test(inode, waiter.holder, waiter.range, waiter.mode) == nil else {
                index += 1
                continue
            }
            removeWaiter(inode, index)
            apply(inode, waiter.holder, waiter.process, waiter.range, waiter.mode)
            granted.append(waiter.id)
            // A lock that came down to a shared one may let in somebody who came earlier.
            if waiter.mode == .shared { index = 0 }
        }
        return granted
    }

    // MARK: Deadlock

    /// Whether `holder` would wait for itself: over locks that stand in the way, their owners, what these wait for, and so on through all files.
    private func closesCircle(_ holder: LockHolder, _ inode: InodeID, _ range: LockRange, _ mode: LockMode) -> Bool {
        var seen: Set<LockHolder> = []
        var open = holders(inode, holder, range, mode)
        while let next = open.popLast() {
            if next == holder { return true }
            guard seen.insert(next).inserted, let waiting = waits[next] else { continue }
            for (id, place) in waiting {
                guard let waiter = files[place]?.waiters.first(where: { $0.id == id }) else { continue }
                open += holders(place, next, waiter.range, waiter.mode)
            }
        }
        return false
    }

    /// Whose locks stand in the way.
    private func holders(_ inode: InodeID, _ holder: LockHolder, _ range: LockRange, _ mode: LockMode) -> [LockHolder] {
        (files[inode]?.holdings ?? [:]).compactMap { other, holding in
            other != holder && other.owner.family == .posix && holding.pieces.conflict(range, mode) != nil ? other : nil
        }
    }

    // MARK: For tests and reports

    /// What an owner holds of a file.
    package func pieces(_ inode: InodeID, _ holder: LockHolder) -> LockPieces { files[inode]?.holdings[holder]?.pieces ?? LockPieces() }

    /// Nothing is held, nobody waits, and nothing of that is remembered.
    package var isEmpty: Bool { files.isEmpty && waits.isEmpty && usage.isEmpty && count == 0 && waitingCount == 0 }
}
