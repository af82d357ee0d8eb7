import Bytes
package import Metadata
package import Model
package import Namespace
package import OrderedStore
package import Runtime
package import TestSupport

/// The metadata service in one process: the real namespace over rows in memory, and leases with recalls.
@LoopActor
package final class FakeLeader {
    package enum Mode { case shared, exclusive }

    package let namespace: Namespace
    package let store = MemoryStore()
    package let clock: VirtualClock
    package let random: SeededRandom
    private var index: UInt64 = 0
    private var leases: [InodeID: [ObjectIdentifier: Mode]] = [:]
    private var openBy: [InodeID: Set<ObjectIdentifier>] = [:]
    private var clients: [ObjectIdentifier: FakeMetadata] = [:]
    /// Tests turn leases off to see what works without.
    package var grantsLeases = true
    /// Commands carried out, for tests that count round trips.
    package private(set) var commands: [Command] = []
    package private(set) var queries: [Query] = []
    /// Whether requests take random turns of the loop.
    package var isJittery = false

    package init(clock: VirtualClock, random: SeededRandom) throws {
        namespace = try Namespace(store: store)
        self.clock = clock
        self.random = random
    }

    /// Advisory locks; sessions are numbered as they join.
    package let locks = LocalLocks()

    private var lastSession: UInt64 = 0

    package func nextSession() -> SessionID {
        lastSession += 1
        let session = SessionID(rawValue: lastSession)
        _ = apply(.openSession(session, name: "test"))
        return session
    }

    package func join(_ client: FakeMetadata) { clients[ObjectIdentifier(client)] = client }

    package func jitter() async {
        guard isJittery else { return }
        for _ in 0..<random.below(4) { await Task.yield() }
    }

    package func holds(_ inode: InodeID, _ client: FakeMetadata) -> Mode? { leases[inode]?[ObjectIdentifier(client)] }

    package func leaseCount(of client: FakeMetadata) -> Int { leases.values.count { $0[ObjectIdentifier(client)] != nil } }

    package func resetCounts() {
        commands = []
        queries = []
    }

    // MARK: Requests

    package func query(_ query: Query, by client: FakeMetadata) async -> QueryReply {
        await jitter()
        queries.append(query)
        while true {
            let answer = answer(query)
            let shown = Self.shown(query, answer)
            if await recallOne(of: shown, keepShared: true, conflicting: { $0 == .exclusive }, except: client) { continue }
            var leased: [InodeID] = []
            var all = shown
            if case .entries(let entries, _) = answer { all += entries.filter { $0.attributes != nil }.map(\.inode) }
            let isInOwn = shown.first.map { holds($0, client) == .exclusive } ?? false
            for inode in all where grant(inode, client) {
                leased.append(inode)
                // As the leader does: what lies in a directory that is held exclusively comes exclusively.
                if isInOwn, leases[inode]?.count == 1 { leases[inode]?[ObjectIdentifier(client)] = .exclusive }
            }
            return QueryReply(answer: answer, leased: leased)
        }
    }

    private func grant(_ inode: InodeID, _ client: FakeMetadata) -> Bool {
        guard grantsLeases else { return false }
        let holders = leases[inode] ?? [:]
        if holders.contains(where: { $0.key != ObjectIdentifier(client) && $0.value == .exclusive }) { return false }
        if holders[ObjectIdentifier(client)] == nil { leases[inode, default: [:]][ObjectIdentifier(client)] = .shared }
        return true
    }

    package func perform(_ command: Command, shown: Timestamp? = nil, by client: FakeMetadata) async -> Outcome {
        await jitter()
        while await recallOne(of: changed(command), keepShared: false, conflicting: { _ in true }, except: client) {}
        commands.append(command)
        let outcome = apply(command, shown: shown, by: client)
        switch (command, outcome) {
        case (.create, .done(let attributes?, _)), (.createNumbered, .done(let attributes?, _)):
            if grantsLeases { leases[attributes.inode] = [ObjectIdentifier(client): .exclusive] }
        case (.createTemporary, .done(let attributes?, _)):
            if grantsLeases { leases[attributes.inode] = [ObjectIdentifier(client): .exclusive] }
            openBy[attributes.inode, default: []].insert(ObjectIdentifier(client))
        case (_, .removed(let attributes, true, _)):
            openBy[attributes.inode, default: []].insert(ObjectIdentifier(client))
        case (_, .renamed(_, let other?, true, _)):
            openBy[other.inode, default: []].insert(ObjectIdentifier(client))
        default:
            break
        }
        return outcome
    }

    package func acquireExclusive(_ inode: InodeID, by client: FakeMetadata) async -> Attributes? {
        await jitter()
        while await recallOne(of: [inode], keepShared: false, conflicting: { _ in true }, except: client) {}
        leases[inode] = [ObjectIdentifier(client): .exclusive]
        guard case .attributes(let attributes) = answer(.attributes(inode)) else { return nil }
        return attributes
    }

    package func release(_ inodes: [InodeID], by client: FakeMetadata) {
        for inode in inodes {
            leases[inode]?[ObjectIdentifier(client)] = nil
            guard openBy[inode]?.remove(ObjectIdentifier(client)) != nil, openBy[inode]?.isEmpty == true else { continue }
            openBy[inode] = nil
            _ = apply(.reap([inode]))
        }
    }

    /// The number of an inode that the client is about to make is nobody else's business.
    package func expect(_ inode: InodeID, of client: FakeMetadata) {
        if grantsLeases { leases[inode] = [ObjectIdentifier(client): .exclusive] }
    }

    /// The session is over: leases and opens are gone.
    package func expel(_ client: FakeMetadata) {
        _ = apply(.closeSession(client.session))
        locks.drop(client.session)
        for inode in Array(leases.keys) { leases[inode]?[ObjectIdentifier(client)] = nil }
        release(Array(openBy.keys), by: client)
    }

    package func answer(_ query: Query) -> Answer { (try? namespace.answer(query)) ?? .failed(.invalid) }

    /// - Parameter client: nil: the service itself.
    private func apply(_ command: Command, shown: Timestamp? = nil, by client: FakeMetadata? = nil) -> Outcome {
        index += 1
        let command = keeping(command)
        let sequence = client?.nextSequence() ?? 0
        let proposal = Proposal(
            session: client?.session, sequence: sequence, acknowledgedBelow: sequence, time: clock.wallTime, shown: shown, command: command)
        return (try? namespace.apply([proposal], index: index, term: 1))?.first ?? .failed(.invalid)
    }

    /// What is open in any session becomes an orphan.
    private func keeping(_ command: Command) -> Command {
        func isOpen(_ parent: InodeID, _ name: Name) -> Bool { child(parent, name).map { openBy[$0] != nil } ?? false }
        return switch command {
        case .unlink(let parent, let name, let keep): .unlink(parent: parent, name: name, keep: keep || isOpen(parent, name))
        case .removeDirectory(let parent, let name, let keep):
            .removeDirectory(parent: parent, name: name, keep: keep || isOpen(parent, name))
        case .rename(let from, let name, let to, let newName, let mode, let keep):
            .rename(from: from, name: name, to: to, newName: newName, mode: mode, keep: keep || isOpen(to, newName))
        default: command
        }
    }

    // MARK: Recalls

    /// Recalls one conflicting lease, if there is one.
    private func recallOne(
        of inodes: [InodeID], keepShared: Bool, conflicting: (Mode) -> Bool, except client: FakeMetadata
    ) async -> Bool {
        for inode in inodes {
            for (holder, mode) in leases[inode] ?? [:] where holder != ObjectIdentifier(client) && conflicting(mode) {
                guard let other = clients[holder] else { continue }
                await jitter()
                let answer = await other.onRecall?(Recall(inode: inode, keepShared: keepShared))
                if leases[inode]?[holder] != nil { leases[inode]?[holder] = keepShared ? .shared : nil }
                if answer?.stillOpen == true, !keepShared { openBy[inode, default: []].insert(holder) }
                return true
            }
        }
        return false
    }

    private func child(_ parent: InodeID, _ name: Name) -> InodeID? {
        if case .found(let attributes, _) = answer(.lookup(parent: parent, name: name)) { attributes.inode } else { nil }
    }

    private static func shown(_ query: Query, _ answer: Answer) -> [InodeID] {
        switch query {
        case .lookup(let parent, _):
            if case .found(let attributes, _) = answer { [parent, attributes.inode] } else { [parent] }
        case .attributes(let inode), .content(let inode, _, _), .symlink(let inode), .xattr(let inode, _), .xattrNames(let inode): [inode]
        case .list(let directory, _, _, _): [directory]
        default: []
        }
    }

    private func changed(_ command: Command) -> [InodeID] {
        switch command {
        case .create(let parent, _, _, _, _, _, _, _, _), .createNumbered(_, let parent, _, _, _, _, _, _, _): [parent]
        case .link(let inode, let parent, _): [inode, parent]
        case .unlink(let parent, let name, _), .removeDirectory(let parent, let name, _): [parent, child(parent, name)].compactMap { $0 }
        case .rename(let from, let name, let to, let newName, _, _): [from, to, child(from, name), child(to, newName)].compactMap { $0 }
        case .update(let inode, _, _, _), .setXattr(let inode, _, _, _, _), .removeXattr(let inode, _): [inode]
        default: []
        }
    }
}
