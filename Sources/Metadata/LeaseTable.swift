package import Model

/// Which session may cache what, as the leader knows it. Volatile, a pure value: who waits for what is the server's business.
///
/// A lease is shared (may cache) or exclusive (may change locally). An *intent* announces a command, an exclusive lease that is being acquired, or
/// a read that waits for a recall. From the moment of a write intent nobody else is granted the inode, so a command waits for a fixed set
/// of recalls and cannot starve. Intents carry tickets; whoever waits, waits for lower tickets only, so no circle can form.
package struct LeaseTable {
    /// Session 0 stands for clients without a session: they are granted nothing.
    package static let nobody = SessionID(rawValue: 0)

    package enum IntentKind: Sendable, Equatable {
        case command
        case acquire
        case read
    }

    package struct Intent: Sendable, Equatable {
        var ticket: UInt64
        var session: SessionID
        var kind: IntentKind
        /// In the log, so that it takes effect whatever is granted.
        var isProposed = false
    }

    /// A lease that has to be given back.
    package struct Target: Hashable, Sendable {
        package var inode: InodeID
        package var session: SessionID
        /// True: an exclusive lease comes down to a shared one.
        package var keepShared: Bool

        package init(inode: InodeID, session: SessionID, keepShared: Bool) {
            self.inode = inode
            self.session = session
            self.keepShared = keepShared
        }
    }

    private struct Running {
        var session: SessionID
        var keepShared: Bool
    }

    private struct Slot {
        var exclusive: SessionID?
        /// The first shared holder has its own place: most inodes have one, and that needs no array.
        var first: SessionID?
        var others: [SessionID] = []
        var recalls: [Running] = []
        var opens: [SessionID] = []
        var intents: [Intent] = []

        var isEmpty: Bool { exclusive == nil && first == nil && recalls.isEmpty && opens.isEmpty && intents.isEmpty }

        func hasShared(_ session: SessionID) -> Bool { first == session || others.contains(session) }

        mutating func addShared(_ session: SessionID) {
            if first == nil { first = session } else { others.append(session) }
        }

        mutating func removeShared(_ session: SessionID) -> Bool {
            if first == session {
                first = others.popLast()
                return true
            }
            guard let index = others.firstIndex(of: session) else { return false }
            others.remove(at: index)
            return true
        }

        func hasForeignWrite(_ session: SessionID) -> Bool { intents.contains { $0.session != session && $0.kind != .read } }
    }

    private var slots: [InodeID: Slot] = [:]
    private var bySession: [SessionID: Set<InodeID>] = [:]
    private var opensBySession: [SessionID: Set<InodeID>] = [:]
    private var recallsBySession: [SessionID: Set<InodeID>] = [:]
    /// Grants in their order, for finding the oldest; may name leases that are gone.
    private var order: [(inode: InodeID, session: SessionID)] = []
    private var orderStart = 0
    private let limit: Int
    private var lastTicket: UInt64 = 0
    /// How many leases there are.
    package private(set) var count = 0

    /// - Parameter limit: leases above which `overflow` names the oldest shared ones.
    package init(limit: Int) { self.limit = limit }

    /// Forgets everything but the tickets: whoever still holds one from before must not meet it again as somebody else's.
    package mutating func reset() {
        let last = lastTicket
        self = LeaseTable(limit: limit)
        lastTicket = last
    }

    // MARK: Grants

    package func holdsExclusive(_ inode: InodeID, _ session: SessionID) -> Bool { slots[inode]?.exclusive == session }

    package func holdsShared(_ inode: InodeID, _ session: SessionID) -> Bool { slots[inode]?.hasShared(session) ?? false }

    /// Whether a recall from `session` is under way.
    package func isRecalled(_ inode: InodeID, from session: SessionID) -> Bool {
        slots[inode]?.recalls.contains { $0.session == session } ?? false
    }

    /// Whether another session holds it exclusively.
    package func isExclusiveToOther(_ inode: InodeID, than session: SessionID) -> Bool {
        guard let holder = slots[inode]?.exclusive else { return false }
        return holder != session
    }

    /// Grants a shared lease unless that would let `session` cache what is about to change. A lease that is held already counts as granted.
    package mutating func grantShared(_ inode: InodeID, to session: SessionID) -> Bool {
        guard session != Self.nobody else { return false }
        guard var slot = slots[inode] else {
            slots[inode] = Slot(first: session)
            note(inode, session)
            return true
        }
        if let holder = slot.exclusive, holder != session { return false }
        guard !slot.hasForeignWrite(session), !slot.recalls.contains(where: { $0.session == session }) else { return false }
        if slot.exclusive == session || slot.hasShared(session) { return true }
        slot.addShared(session)
        slots[inode] = slot
        note(inode, session)
        return true
    }

    /// Grants an exclusive lease if nobody else holds one or, with a ticket below `before`, intends anything.
    package mutating func grantExclusive(_ inode: InodeID, to session: SessionID, before ticket: UInt64 = .max) -> Bool {
        guard session != Self.nobody else { return false }
        var slot = slots[inode] ?? Slot()
        if slot.exclusive == session { return !slot.recalls.contains { $0.session == session } }
        #if CANARIES
            if Canary.sharesExclusiveLeases.isActive { (slot.exclusive, slot.first, slot.others) = (nil, nil, []) }
        #endif
        guard slot.exclusive == nil, !slot.intents.contains(where: { $0.session != session && ($0.ticket < ticket || $0.isProposed) }),
            !slot.recalls.contains(where: { $0.session == session })
        else { return false }
        let alone = slot.others.isEmpty && (slot.first == nil || slot.first == session)
        guard alone else { return false }
        let had = slot.first != nil
        slot.first = nil
        slot.exclusive = session
        slots[inode] = slot
        if !had { note(inode, session) }
        return true
    }

    /// What a session says it held exclusively under the leader before. False if that cannot be.
    package mutating func claimExclusive(_ inode: InodeID, by session: SessionID) -> Bool { grantExclusive(inode, to: session) }

    private mutating func note(_ inode: InodeID, _ session: SessionID) {
        count += 1
        bySession[session, default: []].insert(inode)
        order.append((inode, session))
        if order.count - orderStart > 2 * count + 4096 { tidy() }
    }

    /// Forgets grants that are gone.
    private mutating func tidy() {
        var seen: Set<Target> = []
        order = order[orderStart...].filter { entry in
            guard bySession[entry.session]?.contains(entry.inode) ?? false else { return false }
            return seen.insert(Target(inode: entry.inode, session: entry.session, keepShared: false)).inserted
        }
        orderStart = 0
    }

    // MARK: Recalls

    /// The leases that must be given back before `session` may change the inode (`exclusive`) or be shown it.
    package func conflicts(_ inode: InodeID, for session: SessionID, exclusive: Bool) -> [Target] {
        guard let slot = slots[inode] else { return [] }
        var result: [Target] = []
        if let holder = slot.exclusive, holder != session {
            result.append(Target(inode: inode, session: holder, keepShared: !exclusive))
        }
        guard exclusive else { return result }
        if let holder = slot.first, holder != session { result.append(Target(inode: inode, session: holder, keepShared: false)) }
        for holder in slot.others where holder != session { result.append(Target(inode: inode, session: holder, keepShared: false)) }
        return result
    }

    /// Notes that a recall is being sent; false if one from this session is under way already.
    package mutating func beginRecall(_ target: Target) -> Bool {
        guard var slot = slots[target.inode], !slot.recalls.contains(where: { $0.session == target.session }) else { return false }
        slot.recalls.append(Running(session: target.session, keepShared: target.keepShared))
        slots[target.inode] = slot
        recallsBySession[target.session, default: []].insert(target.inode)
        return true
    }

    /// The holder has answered: its lease is gone or shared now, and `stillOpen` is remembered until it says otherwise or releases the inode.
    package mutating func endRecall(_ inode: InodeID, from session: SessionID, stillOpen: Bool) {
        guard var slot = slots[inode], let index = slot.recalls.firstIndex(where: { $0.session == session }) else { return }
        let recall = slot.recalls.remove(at: index)
        recallsBySession[session]?.remove(inode)
        if recall.keepShared {
            if slot.exclusive == session {
                slot.exclusive = nil
                slot.addShared(session)
            }
        } else if removeLease(&slot, session) {
            forget(inode, session)
        }
        store(slot, inode)
        if stillOpen { setOpen(inode, session) } else { clearOpen(inode, session) }
    }

    private mutating func removeLease(_ slot: inout Slot, _ session: SessionID) -> Bool {
        if slot.exclusive == session {
            slot.exclusive = nil
            return true
        }
        return slot.removeShared(session)
    }

    private mutating func forget(_ inode: InodeID, _ session: SessionID) {
        count -= 1
        bySession[session]?.remove(inode)
    }

    private mutating func store(_ slot: Slot, _ inode: InodeID) {
        if slot.isEmpty { slots.removeValue(forKey: inode) } else { slots[inode] = slot }
    }

    /// The oldest shared leases, as many as there are leases too many, at most `max`.
    package mutating func overflow(max: Int) -> [Target] {
        var result: [Target] = []
        while count - result.count > limit, result.count < max, orderStart < order.count {
            let entry = order[orderStart]
            orderStart += 1
            guard let slot = slots[entry.inode], slot.hasShared(entry.session),
                !slot.recalls.contains(where: { $0.session == entry.session })
            else {
                // An exclusive lease goes to the end: it may be shared by the time it comes up again.
                if slots[entry.inode]?.exclusive == entry.session { order.append(entry) }
                continue
            }
            result.append(Target(inode: entry.inode, session: entry.session, keepShared: false))
        }
        if orderStart > 4096, orderStart > order.count / 2 {
            order.removeFirst(orderStart)
            orderStart = 0
        }
        return result
    }

    // MARK: What a session gives up

    /// A session no longer caches the inode; `closed`: nor has it open.
    package mutating func release(_ inode: InodeID, by session: SessionID, closed: Bool) {
        if closed { clearOpen(inode, session) }
        guard var slot = slots[inode] else { return }
        if removeLease(&slot, session) { forget(inode, session) }
        store(slot, inode)
    }

    /// The session is over. Returns the inodes that it held, had open or was asked for, so that whoever waits can look again.
    package mutating func drop(_ session: SessionID) -> [InodeID] {
        var concerned = bySession.removeValue(forKey: session) ?? []
        concerned.formUnion(opensBySession.removeValue(forKey: session) ?? [])
        // What was given back while it was asked for is not held any more.
        concerned.formUnion(recallsBySession.removeValue(forKey: session) ?? [])
        for inode in concerned {
            guard var slot = slots[inode] else { continue }
            if removeLease(&slot, session) { count -= 1 }
            slot.recalls.removeAll { $0.session == session }
            slot.opens.removeAll { $0 == session }
            store(slot, inode)
        }
        return Array(concerned)
    }

    // MARK: Open files

    /// Whether a session is known to have the inode open.
    package func isOpen(_ inode: InodeID) -> Bool { slots[inode].map { !$0.opens.isEmpty } ?? false }

    /// Whether any session is known to have the inode open, or may have it open because it holds a lease on it.
    package func mayBeOpen(_ inode: InodeID) -> Bool {
        guard let slot = slots[inode] else { return false }
        return !slot.opens.isEmpty || slot.exclusive != nil || slot.first != nil || !slot.recalls.isEmpty
    }

    package mutating func setOpen(_ inode: InodeID, _ session: SessionID) {
        guard session != Self.nobody else { return }
        var slot = slots[inode] ?? Slot()
        guard !slot.opens.contains(session) else { return }
        slot.opens.append(session)
        slots[inode] = slot
        opensBySession[session, default: []].insert(inode)
    }

    private mutating func clearOpen(_ inode: InodeID, _ session: SessionID) {
        guard var slot = slots[inode], let index = slot.opens.firstIndex(of: session) else { return }
        slot.opens.remove(at: index)
        store(slot, inode)
        opensBySession[session]?.remove(inode)
    }

    // MARK: Intents

    /// A number above all given before.
    package mutating func ticket() -> UInt64 {
        lastTicket += 1
        return lastTicket
    }

    package mutating func addIntent(_ kind: IntentKind, on inodes: [InodeID], for session: SessionID, ticket: UInt64) {
        for inode in inodes { slots[inode, default: Slot()].intents.append(Intent(ticket: ticket, session: session, kind: kind)) }
    }

    /// The intent's command is in the log now.
    package mutating func markProposed(_ ticket: UInt64, on inodes: [InodeID]) {
        for inode in inodes {
            guard let index = slots[inode]?.intents.firstIndex(where: { $0.ticket == ticket }) else { continue }
            slots[inode]?.intents[index].isProposed = true
        }
    }

    package mutating func removeIntent(_ ticket: UInt64, on inodes: [InodeID]) {
        for inode in inodes {
            guard var slot = slots[inode], let index = slot.intents.firstIndex(where: { $0.ticket == ticket }) else { continue }
            slot.intents.remove(at: index)
            store(slot, inode)
        }
    }

    /// Whether another session intends to write (with `reads`: intends anything) with a lower ticket. A holder of the exclusive lease waits for
    /// nobody: what it sends is what others wait for.
    package func mustWait(_ inode: InodeID, for session: SessionID, ticket: UInt64, reads: Bool) -> Bool {
        guard let slot = slots[inode] else { return false }
        if slot.exclusive == session && session != Self.nobody { return false }
        return slot.intents.contains { $0.session != session && $0.ticket < ticket && (reads || $0.kind != .read) }
    }
}
