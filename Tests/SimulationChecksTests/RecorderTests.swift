import Filesystem
import Glibc
import Model
import Namespace
import Runtime
import SimulationChecks
import TestSupport
import Testing

@Suite @LoopActor struct RecorderTests {
    private let clock = VirtualClock()

    private func attributes(_ inode: UInt64, kind: FileKind = .file, created: Timestamp = 5) -> Attributes {
        Attributes(
            inode: InodeID(rawValue: inode), kind: kind, mode: 0o644, uid: 0, gid: 0, links: 1, size: 0, allocated: 0, device: 0, accessed: 0,
            modified: 0, changed: 0, created: created, version: 1, entries: 0, parent: InodeID(rawValue: 0))
    }

    @Test func livesOfAMachine() {
        let recorder = Recorder(clock: clock)
        #expect(recorder.started(machine: 3).description == "c3")
        #expect(recorder.started(machine: 3).description == "c3'1")
        #expect(recorder.started(machine: 4) == ClientID(machine: 4, life: 0))
    }

    @Test func inodeIdsOfTwoFiles() {
        let recorder = Recorder(clock: clock)
        let client = recorder.started(machine: 1)
        recorder.saw(attributes(7), client, "a")
        recorder.saw(attributes(7), client, "a")
        #expect(recorder.violations.isEmpty)
        recorder.saw(attributes(7, created: 6), client, "b")
        recorder.saw(attributes(7, kind: .directory), client, "b")
        #expect(recorder.violations.map(\.rule) == [.inodeReused, .inodeReused])
        recorder.created(InodeID(rawValue: 8), client, "c")
        recorder.created(InodeID(rawValue: 8), client, "d")
        #expect(recorder.violations.count == 3)
    }

    /// A session may have been ended by the leader long before its owner learns of it, but not before the owner was last answered under it.
    @Test func lossesBeginWhereTheSessionLastLived() {
        let recorder = Recorder(clock: clock)
        let client = recorder.started(machine: 1)
        let history = History<RegisterModel.Call, UInt64>(recorder)
        let first = history.begin(client, .read)
        history.end(first, 1)
        let second = history.begin(client, .read)
        let third = history.begin(client, .read)
        history.end(third, nil)
        recorder.sessionLost(client)
        #expect(recorder.losses.map(\.from) == [history.operations[first].called])
        history.end(second, 2, provesSession: false)
        recorder.ended(client)
        #expect(recorder.losses[1].from == history.operations[first].called)
        recorder.changesDropped(client, nil)
        #expect(recorder.losses[2].from > history.operations[third].called)
    }

    private func content(_ recorder: Recorder) -> (ContentLedger, ContentLedger.FileHistory) {
        let ledger = recorder.ledger("x") { ContentLedger(area: "x", recorder: recorder) }
        return (ledger, ledger.history(InodeID(rawValue: 5)))
    }

    private func add(_ history: ContentLedger.FileHistory, _ client: ClientID, _ call: ContentCall, _ outcome: ContentOutcome?) {
        let place = history.begin(client, .init(client, call))
        history.end(place, outcome)
    }

    private func append(_ tag: UInt64) -> ContentCall { .write(.append(count: 1, tag: tag), handle: 1, isSynchronous: false) }

    private func run(_ place: UInt32, _ tag: UInt64) -> CellMap.Run { CellMap.Run(start: place, end: place + 1, tag: tag, origin: place) }

    @Test func linesTwiceAndOutOfOrder() {
        for (runs, rule) in [
            ([run(0, 101), run(1, 102), run(2, 101)], Violation.Rule.duplicated), ([run(0, 102), run(1, 101)], .disordered),
        ] {
            let recorder = Recorder(clock: clock)
            let client = recorder.started(machine: 1)
            let (ledger, history) = content(recorder)
            add(history, client, append(101), .done)
            add(history, client, append(102), .done)
            add(history, client, .read(start: 0, count: 9), .read(count: UInt32(runs.count), runs: runs))
            let report = ledger.check(bound: 1000)
            #expect(report.violations.map(\.rule) == [rule, .content])
        }
    }

    /// The same history with and without the event that allows the loss.
    @Test(arguments: [Loss.Cause.ended, .session, .dropped, .names, nil]) func lossesNeedACause(cause: Loss.Cause?) {
        let recorder = Recorder(clock: clock)
        let (writer, reader) = (recorder.started(machine: 1), recorder.started(machine: 2))
        let (ledger, history) = content(recorder)
        add(history, writer, append(101), .done)
        switch cause {
        case .ended: recorder.ended(writer)
        case .session: recorder.sessionLost(writer)
        case .dropped: recorder.changesDropped(writer, InodeID(rawValue: 5))
        case .names: recorder.namesLost(writer)
        case nil: recorder.ended(reader)
        }
        add(history, reader, .read(start: 0, count: 9), .read(count: 0, runs: []))
        #expect(ledger.check(bound: 1000).violations.isEmpty == (cause != nil && cause != .names))
    }

    /// A removal that was not durable may be gone with its client, and what that client saw of it; one that was may not.
    @Test(arguments: [Loss.Cause.ended, .session, .dropped, .names, nil], [false, true])
    func removalsAreLostWithACauseUnlessTheyWereSynced(cause: Loss.Cause?, isSynced: Bool) {
        let recorder = Recorder(clock: clock)
        let (writer, reader) = (recorder.started(machine: 1), recorder.started(machine: 2))
        let ledger = NameLedger(area: "names", root: InodeID(rawValue: 2), recorder: recorder)
        let file = NameOutcome.entry(NameAttributes(inode: 9, kind: .file, links: 1, entries: 0))
        func note(_ client: ClientID, _ call: NameCall, _ outcome: NameOutcome) { ledger.history.end(ledger.history.begin(client, call), outcome) }
        note(writer, .create(parent: 2, name: "a", kind: .file, isExclusive: true, target: "", symbol: NameState.symbolBit | 1), file)
        note(writer, .unlink(parent: 2, name: "a"), .done)
        note(writer, .lookup(parent: 2, name: "a"), .failed(ENOENT))
        if isSynced { recorder.noteSynced(writer, called: recorder.stamp()) }
        switch cause {
        case .ended: recorder.ended(writer)
        case .session: recorder.sessionLost(writer)
        case .dropped: recorder.changesDropped(writer, nil)
        case .names: recorder.namesLost(writer)
        case nil: recorder.ended(reader)
        }
        note(reader, .lookup(parent: 2, name: "a"), file)
        #expect(ledger.check(bound: 1000).violations.isEmpty == (!isSynced && cause != nil && cause != .dropped))
    }

    /// What is lost is the end: nothing that was told before something that happened.
    @Test(arguments: [[], ["a"], ["a", "b"], ["b"], ["a", "c"], ["a", "b", "c"]])
    func creationsAreLostInTheirOrder(found: [String]) {
        let recorder = Recorder(clock: clock)
        let (writer, reader) = (recorder.started(machine: 1), recorder.started(machine: 2))
        let ledger = NameLedger(area: "names", root: InodeID(rawValue: 2), recorder: recorder)
        let inodes: [String: UInt64] = ["a": 9, "b": 10, "c": 11]
        func create(_ name: String) -> Int {
            ledger.history.begin(
                writer, .create(parent: 2, name: name, kind: .file, isExclusive: true, target: "", symbol: NameState.symbolBit | inodes[name]!))
        }
        func file(_ name: String) -> NameOutcome { .entry(NameAttributes(inode: inodes[name]!, kind: .file, links: 1, entries: 0)) }
        ledger.history.end(create("a"), file("a"))
        // These two at the same time.
        let (second, third) = (create("b"), create("c"))
        ledger.history.end(second, file("b"))
        ledger.history.end(third, file("c"))
        recorder.ended(writer)
        let listing = found.map { ListedName(name: $0, inode: inodes[$0]!, kind: .file) }
        ledger.history.end(ledger.history.begin(reader, .list(2)), .listing(listing))
        #expect(ledger.check(bound: 1000).violations.isEmpty == (found != ["b"]))
    }

    /// A link is durable when it has succeeded, whenever it returned, and so is what it is of.
    @Test(arguments: [false, true], [false, true]) func aCreationThatReturnsAfterTheLossIsNotLost(isThere: Bool, isExclusive: Bool) {
        let recorder = Recorder(clock: clock)
        let (writer, reader) = (recorder.started(machine: 1), recorder.started(machine: 2))
        let ledger = NameLedger(area: "names", root: InodeID(rawValue: 2), recorder: recorder)
        func file(links: UInt32) -> NameOutcome { .entry(NameAttributes(inode: 9, kind: .file, links: links, entries: 0)) }
        func note(_ client: ClientID, _ call: NameCall, _ outcome: NameOutcome) { ledger.history.end(ledger.history.begin(client, call), outcome) }
        note(reader, .create(parent: 2, name: "a", kind: .fifo, isExclusive: true, target: "", symbol: NameState.symbolBit | 1),
            .entry(NameAttributes(inode: 8, kind: .fifo, links: 1, entries: 0)))
        note(writer, .unlink(parent: 2, name: "a"), .done)
        let creation = ledger.history.begin(
            writer, .create(parent: 2, name: "b", kind: .file, isExclusive: isExclusive, target: "", symbol: NameState.symbolBit | 2))
        recorder.sessionLost(writer)
        ledger.history.end(creation, file(links: 1))
        note(writer, .link(inode: 9, parent: 2, name: "c"), file(links: 2))
        if !isThere { note(reader, .lookup(parent: 2, name: "b"), .failed(ENOENT)) }
        #expect(ledger.check(bound: 1000).violations.isEmpty == isThere)
    }

    @Test func anErrorThatIsToldAllowsALossBefore() {
        let recorder = Recorder(clock: clock)
        let (writer, reader) = (recorder.started(machine: 1), recorder.started(machine: 2))
        let (ledger, history) = content(recorder)
        add(history, writer, append(101), .done)
        add(history, reader, .read(start: 0, count: 9), .read(count: 0, runs: []))
        add(history, writer, .sync(handle: 1), .failed(5))
        // Known only when the handle was opened by the ledger; here from the call on, which is too late for the read.
        #expect(!ledger.check(bound: 1000).violations.isEmpty)
    }
}
