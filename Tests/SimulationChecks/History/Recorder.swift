package import Model
package import Namespace
package import Runtime

/// Collects what clients did in a run and what happened to them. One per run; tells all times.
@LoopActor
package final class Recorder {
    package let clock: any Clock
    /// Told of every violation as soon as it is noticed, for traces.
    package var onViolation: (@LoopActor (Violation) -> Void)?

    private var events: UInt64 = 0
    private var tags: UInt64 = 0
    private var lives: [UInt16: UInt16] = [:]
    /// The latest call of a client that was answered under a living session.
    private var alive: [ClientID: Moment] = [:]
    package private(set) var losses: [Loss] = []
    private var synced: [ClientID: [(called: Moment, returned: Moment)]] = [:]
    package private(set) var violations: [Violation] = []
    private var ledgers: [(name: String, ledger: any Ledger)] = []
    private var identities: [InodeID: (kind: FileKind, created: Timestamp)] = [:]
    private var creations: [InodeID: String] = [:]

    package init(clock: any Clock) { self.clock = clock }

    package func stamp() -> Moment {
        events += 1
        return Moment(order: events, time: clock.now)
    }

    /// A number that no other call gets: marks what is written.
    package func nextTag() -> UInt64 {
        tags += 1
        return tags
    }

    // MARK: Lives of clients

    /// A client process starts.
    package func started(machine: UInt16) -> ClientID {
        let life = lives[machine, default: 0]
        lives[machine] = life + 1
        return ClientID(machine: machine, life: life)
    }

    /// The process is gone, killed or crashed; call it after its last step. Calls that have not returned may or may not have happened.
    package func ended(_ client: ClientID) { lose(client, .ended, nil, from: alive[client] ?? .start) }

    /// The client was told that its session is lost. To be called from `MetadataClient.onSessionLost`, before the filesystem's own handler.
    package func sessionLost(_ client: ClientID) { lose(client, .session, nil, from: alive[client] ?? .start) }

    /// The client gave up changes that it could not commit, and said so in its log.
    package func changesDropped(_ client: ClientID, _ inode: InodeID?) { lose(client, .dropped, inode, from: stamp()) }

    /// The client said in its log that a change of names is lost.
    package func namesLost(_ client: ClientID) { lose(client, .names, nil, from: stamp()) }

    private func lose(_ client: ClientID, _ cause: Loss.Cause, _ inode: InodeID?, from: Moment) {
        losses.append(Loss(client: client, cause: cause, inode: inode, from: from, noticed: stamp()))
    }

    func noteAlive(_ client: ClientID, _ called: Moment) {
        if let known = alive[client], known > called { return }
        alive[client] = called
    }

    /// A call that has just returned made durable, or showed to be, what the client had changed before it was called.
    package func noteSynced(_ client: ClientID, called: Moment) { synced[client, default: []].append((called, stamp())) }

    /// Up to when changes of names were durable when something was lost.
    func durable(_ loss: Loss) -> Moment {
        synced[loss.client, default: []].last { $0.returned < loss.noticed }?.called ?? .start
    }

    /// Losses of a client that may have happened after `moment`.
    package func lossCount(_ client: ClientID) -> Int { losses.count { $0.client == client } }

    // MARK: Inodes

    /// Attributes that a client was shown: an inode id stands for the same file as long as there are clients.
    package func saw(_ attributes: Attributes, _ client: ClientID, _ place: @autoclosure () -> String) {
        guard let known = identities[attributes.inode] else {
            identities[attributes.inode] = (attributes.kind, attributes.created)
            return
        }
        guard known.kind != attributes.kind || known.created != attributes.created else { return }
        violate(
            Violation(
                .inodeReused, place(),
                [
                    "\(client) sees inode \(attributes.inode) as a \(attributes.kind) created at \(attributes.created)",
                    "it was a \(known.kind) created at \(known.created)",
                ]))
    }

    /// A creation that was acknowledged.
    package func created(_ inode: InodeID, _ client: ClientID, _ place: String) {
        if let other = creations.updateValue(place, forKey: inode) {
            violate(Violation(.inodeReused, place, "\(client) was given inode \(inode) for it, which was given to \(other) before"))
        }
    }

    // MARK: Ledgers

    package func violate(_ violation: Violation) {
        violations.append(violation)
        onViolation?(violation)
    }

    /// The ledger of an area, shared by all clients; made by the first one.
    package func ledger<Kind: Ledger>(_ name: String, _ make: () -> Kind) -> Kind {
        if let known = ledgers.first(where: { $0.name == name })?.ledger as? Kind { return known }
        let ledger = make()
        ledgers.append((name, ledger))
        return ledger
    }

    /// Reads everything through a client that started after all others had ended or come to rest.
    package func readFinal(_ reader: FinalReader) async {
        for (_, ledger) in ledgers { await ledger.readFinal(reader) }
    }

    /// Judges all histories.
    package func check(bound: Int = 200_000) -> CheckReport {
        var report = CheckReport()
        report.violations = violations
        for (_, ledger) in ledgers { report.absorb(ledger.check(bound: bound)) }
        return report
    }
}
