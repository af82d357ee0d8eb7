import Bytes
import Model
import Namespace
import OrderedStore
import Runtime
import Transport

// Commands of sessions: in their order, with everybody else's leases on what they touch given back first.
extension MetadataServer {
    /// Body: header, sequence, acknowledgedBelow, shown (see `Proposal`), command. The answer: `Grants`, outcome, whether it was remembered.
    func command(_ message: Transport.Message, _ channel: any Channel) async throws(TransportError) -> Transport.Message {
        guard message.body.count <= MessageLimits.commandBytes else { throw TransportError(.malformed, "the command is too large") }
        let (header, sequence, acknowledged, shown, command) = try decode(message) { reader throws(DecodeError) in
            let header = try RequestHeader(from: &reader)
            let sequence: UInt64 = try reader.integer()
            let acknowledged: UInt64 = try reader.integer()
            let shown: Timestamp? = try reader.optional { (reader: inout ByteReader) throws(DecodeError) in try reader.integer() }
            return (header, sequence, acknowledged, shown, try Command(from: &reader))
        }
        guard Self.mayCome(command, from: channel.peer.role, hasSession: header.session != LeaseTable.nobody) else {
            throw TransportError(.denied, "this command is not for clients")
        }
        guard let session = try await admit(header, channel) else {
            try await barrier()
            let outcome = try await propose(command)
            return reply(CommandResult(outcome: outcome, grants: Grants(number: 0), isRemembered: false))
        }
        if let known = session.commands[sequence] { return reply(try await known.wait()) }
        guard session.commands.count < options.waitingRequests else { throw Refusal.busy.error }
        let item = PendingCommand(
            proposal: Proposal(
                session: session.id, sequence: sequence, acknowledgedBelow: acknowledged, time: 0, shown: shown, command: command), session: session)
        item.names = Self.names(of: command)
        item.isOpenHere = Self.keeps(command)
        session.commands[sequence] = item
        if session.lane.isEmpty, start(item) {
            drainLanes()
        } else {
            session.lane.append(item)
            dirtyLanes.insert(session.id)
            drainLanes()
        }
        return reply(try await item.wait())
    }

    private func reply(_ result: CommandResult) -> Transport.Message {
        var writer = ByteWriter(reserving: 512)
        result.grants.encode(to: &writer)
        result.outcome.encode(to: &writer)
        writer.boolean(result.isRemembered)
        return Transport.Message(body: writer.bytes)
    }

    /// Which commands a client may send. Sessions, collection and reaping are the leader's own business; records belong to daemons.
    private static func mayCome(_ command: Command, from role: Role, hasSession: Bool) -> Bool {
        switch command {
        case .create, .createNumbered, .reserveInodes, .createTemporary, .link, .unlink, .removeDirectory, .rename, .update, .setXattr, .removeXattr: hasSession
        case .setRecord: role == .node || role == .administrator
        case .reap, .openSession, .closeSession, .collect, .collected: false
        }
    }

    // MARK: Lanes

    /// Goes through the sessions for which something may have changed, until nothing does.
    func drainLanes() {
        guard !isDraining, !dirtyLanes.isEmpty else { return }
        isDraining = true
        while let id = dirtyLanes.popFirst() {
            guard leadership != nil, let session = sessions[id] else { continue }
            drain(session)
        }
        isDraining = false
    }

    private func drain(_ session: MetadataSession) {
        var started = 0
        while started < session.lane.count, start(session.lane[started]) { started += 1 }
        session.lane.removeFirst(min(started, session.lane.count))
        guard !session.lane.isEmpty else { return }
        // What the session flushes because of a recall must not wait behind a command of its own that waits for somebody else's flush: two
        // sessions could wait for each other. Such an update touches nothing but the recalled inode. Changes of names that touch nothing but what the
        // session holds alone may have returned to their callers: those before the one that is waited for go with it, in their order.
        let lastAwaited = session.lane.lastIndex { isAlone($0, session, onlyIfRecalled: true) }
        guard let lastAwaited else { return }
        var isOrdered = true
        var index = -1
        session.lane.removeAll { item in
            index += 1
            guard index <= lastAwaited else { return false }
            if case .update = item.proposal.command { return isAlone(item, session, onlyIfRecalled: true) && start(item) }
            guard isOrdered else { return false }
            let isAlone = isAlone(item, session, onlyIfRecalled: false)
            if isAlone { isOrdered = start(item) } else if case .createNumbered = item.proposal.command { isOrdered = false }
            return isAlone && isOrdered
        }
    }

    /// Whether a command is one that a session may have written behind, on nothing but what it holds exclusively. What is made in a directory that is itself
    /// still being made has to wait for that, and nothing goes before it: numbers are used in their order.
    private func isAlone(_ item: PendingCommand, _ session: MetadataSession, onlyIfRecalled: Bool) -> Bool {
        switch item.proposal.command {
        case .update, .createNumbered, .unlink, .removeDirectory, .rename: break
        default: return false
        }
        guard let touched = try? touched(by: item.proposal.command), touched.allSatisfy({ table.holdsExclusive($0, session.id) }) else { return false }
        return !onlyIfRecalled || touched.contains { table.isRecalled($0, from: session.id) }
    }

    /// Proposes a command if nobody else holds or intends anything on what it touches; otherwise sees to it that this will be so.
    /// - Returns: whether it was proposed (or failed); if not, its lane is tried again when something changes.
    private func start(_ item: PendingCommand) -> Bool {
        guard let session = item.session, !item.isProposed else { return true }
        // Whose entries are on their way, what they name is known only afterwards.
        if Self.looksUp(item.proposal.command), item.names.contains(where: { session.names[$0] != nil }) { return false }
        let touched: [InodeID]
        do throws(TransportError) {
            touched = try self.touched(by: item.proposal.command)
        } catch {
            settle(item, .failure(error))
            return true
        }
        if item.ticket == 0 || touched != item.touched {
            withdraw(item)
            item.ticket = table.ticket()
            item.touched = touched
            table.addIntent(.command, on: touched, for: session.id, ticket: item.ticket)
        }
        var isBlocked = false
        for inode in touched {
            if table.mustWait(inode, for: session.id, ticket: item.ticket, reads: false) { isBlocked = true }
            for target in table.conflicts(inode, for: session.id, exclusive: true) {
                isBlocked = true
                recall(target)
            }
        }
        guard !isBlocked else {
            for inode in touched { blockedLanes[inode, default: []].insert(session.id) }
            return false
        }
        keepWhatIsOpen(item)
        for name in item.names { session.names[name, default: 0] += 1 }
        table.markProposed(item.ticket, on: touched)
        propose(item)
        return true
    }

    /// The inodes whose attributes, content or entries a command changes.
    private func touched(by command: Command) throws(TransportError) -> [InodeID] {
        switch command {
        case .create(let parent, _, _, _, _, _, _, _, _), .createNumbered(_, let parent, _, _, _, _, _, _, _): return [parent]
        case .link(let inode, let parent, _): return [parent, inode]
        case .unlink(let parent, let name, _), .removeDirectory(let parent, let name, _):
            guard let child = try child(parent, name) else { return [parent] }
            return [parent, child]
        case .rename(let from, let name, let to, let newName, _, _):
            var result = from == to ? [from] : [from, to]
            if let moved = try child(from, name) { result.append(moved) }
            if let other = try child(to, newName), !result.contains(other) { result.append(other) }
            return result
        case .update(let inode, _, _, _), .setXattr(let inode, _, _, _, _), .removeXattr(let inode, _): return [inode]
        // Of the directory it takes what it finds when it is carried out, and changes nothing.
        case .createTemporary: return []
        case .reserveInodes, .reap, .openSession, .closeSession, .collect, .collected, .setRecord: return []
        }
    }

    private func child(_ parent: InodeID, _ name: Name) throws(TransportError) -> InodeID? {
        try read { () throws(StoreError) in try namespace.inode(name, in: parent) }
    }

    private static func names(of command: Command) -> [EntryName] {
        switch command {
        case .create(let parent, let name, _, _, _, _, _, _, _), .createNumbered(_, let parent, let name, _, _, _, _, _, _),
            .link(_, let parent, let name), .unlink(let parent, let name, _), .removeDirectory(let parent, let name, _):
            [EntryName(parent: parent, name: name)]
        case .rename(let from, let name, let to, let newName, _, _):
            [EntryName(parent: from, name: name), EntryName(parent: to, name: newName)]
        default: []
        }
    }

    private static func keeps(_ command: Command) -> Bool {
        switch command {
        case .unlink(_, _, let keep), .removeDirectory(_, _, let keep), .rename(_, _, _, _, _, let keep): keep
        default: false
        }
    }

    private static func looksUp(_ command: Command) -> Bool {
        switch command {
        case .unlink, .removeDirectory, .rename: true
        default: false
        }
    }

    /// An inode that a session has open outlives its last link. The session that removes it may have it open too without having said so: when it sent the
    /// command, the name led to another inode.
    private func keepWhatIsOpen(_ item: PendingCommand) {
        switch item.proposal.command {
        case .unlink(let parent, let name, let keep):
            let isOpen = item.touched.dropFirst().contains { table.isOpen($0) }
            if isOpen, !keep { item.proposal.command = .unlink(parent: parent, name: name, keep: true) }
        case .removeDirectory(let parent, let name, let keep):
            let isOpen = item.touched.dropFirst().contains { table.isOpen($0) }
            if isOpen, !keep { item.proposal.command = .removeDirectory(parent: parent, name: name, keep: true) }
        case .rename(let from, let name, let to, let newName, let mode, let keep):
            guard !keep, let replaced = item.touched.last, table.isOpen(replaced) else { return }
            item.proposal.command = .rename(from: from, name: name, to: to, newName: newName, mode: mode, keep: true)
        default: break
        }
    }

    // MARK: The end of a command

    /// Takes a command's intent back.
    func withdraw(_ item: PendingCommand) {
        guard item.ticket != 0 else { return }
        table.removeIntent(item.ticket, on: item.touched)
        item.ticket = 0
        for inode in item.touched { changed(inode) }
    }

    /// Answers a command and forgets it, so that the same one sent again is a new one.
    func settle(_ item: PendingCommand, _ result: Result<CommandResult, TransportError>) {
        withdraw(item)
        if let session = item.session {
            session.commands.removeValue(forKey: item.proposal.sequence)
            if item.isProposed {
                for name in item.names {
                    guard let count = session.names[name] else { continue }
                    session.names[name] = count > 1 ? count - 1 : nil
                }
                if !session.lane.isEmpty { dirtyLanes.insert(session.id) }
            }
        }
        item.finish(result)
    }

    /// A command was applied: grants leases on what it changed and answers.
    /// - Parameter isRemembered: it was applied earlier, and others may have changed what the outcome shows since: no lease comes with it.
    func complete(_ item: PendingCommand, _ outcome: Outcome, isRemembered: Bool) {
        if item.ticket != 0 {
            table.removeIntent(item.ticket, on: item.touched)
            item.ticket = 0
        }
        var grants = Grants(number: item.session?.recalls ?? 0)
        if let session = item.session, !session.isFenced, leadership != nil {
            func grant(_ inode: InodeID, exclusive: Bool = false) { if !isRemembered { self.grant(inode, to: session, exclusive: exclusive, &grants) } }
            let (isCreation, isTemporary) =
                switch item.proposal.command {
                case .create, .createNumbered: (true, false)
                case .createTemporary: (true, true)
                default: (false, false)
                }
            switch outcome {
            case .done(let attributes, let parents):
                if let inode = attributes?.inode {
                    grant(inode, exclusive: isCreation)
                    if isTemporary { table.setOpen(inode, session.id) }
                }
                for parent in parents { grant(parent.inode) }
            case .removed(let attributes, let orphaned, let parents):
                if orphaned, item.isOpenHere { table.setOpen(attributes.inode, session.id) }
                if attributes.links > 0 { grant(attributes.inode) }
                for parent in parents { grant(parent.inode) }
            case .renamed(let moved, let other, let orphaned, let parents):
                if orphaned, item.isOpenHere, let other { table.setOpen(other.inode, session.id) }
                grant(moved.inode)
                if let other, other.links > 0 { grant(other.inode) }
                for parent in parents { grant(parent.inode) }
            case .recordSet, .reserved, .failed: break
            }
            trimLeases()
        }
        for inode in item.touched { changed(inode) }
        settle(item, .success(CommandResult(outcome: outcome, grants: grants, isRemembered: isRemembered)))
    }

    private func grant(_ inode: InodeID, to session: MetadataSession, exclusive: Bool, _ grants: inout Grants) {
        if exclusive, table.grantExclusive(inode, to: session.id) {
            grants.exclusive.append(inode)
        } else if table.grantShared(inode, to: session.id), !table.holdsExclusive(inode, session.id) {
            grants.shared.append(inode)
        }
    }
}
