import Consensus
import Metadata
import Model
import OrderedStore
import Runtime
import Telemetry
import TestSupport
import Testing

/// Every operation in the life of a voter's log and state fails in every way, and so does every operation of the recovery from that.
@Suite struct ConsensusStorageLoopTests {
    /// What a voter must remember.
    struct Memory: Equatable {
        var hardState = HardState(term: 0, vote: nil)
        var mark: SnapshotMark
        var entries: [Entry] = []

        var last: LogIndex { entries.last?.index ?? mark.index }

        mutating func append(_ new: [Entry]) {
            if let first = new.first { entries.removeAll { $0.index >= first.index } }
            entries += new
        }

        mutating func cut(at mark: SnapshotMark) {
            self.mark = mark
            entries.removeAll { $0.index <= mark.index }
        }
    }

    /// What it was, step by step; nil before the first mark.
    struct Ledger {
        var steps: [Memory?] = [nil]
        /// The last step that it was told to be durable.
        var told = 0
        /// Up to here the state store was flushed.
        var flushed: LogIndex = 0

        mutating func begin(_ memory: Memory) { steps.append(memory) }
        mutating func tell() { told = steps.count - 1 }
    }

    private static let members = Configuration(voters: [NodeID(rawValue: 1)], learners: [])
    private static let stateKey: [UInt8] = [1]
    private static let log = Log(component: "test", level: .error)

    @LoopActor final class Life {
        let world = MemoryWorld(seed: 1)
        let disk = MemoryDisk()
        let media = StateMedia()
        var process: MemoryDiskProcess
        var ledger = Ledger()
        var restored: Restored?
        var stateIndex: LogIndex = 0
        private var memory = Memory(mark: SnapshotMark(index: 0, term: 0, configuration: ConsensusStorageLoopTests.members))
        private var tokens: [UInt64: (step: Int, done: UnsafeContinuation<Bool, Never>?)] = [:]
        private var nextToken: UInt64 = 1

        init() { process = disk.process() }

        /// Opens everything as a server does when it starts.
        func open() async throws -> (stores: SimulatedStateStores, store: any OrderedStore, storage: ConsensusStorage) {
            let environment = world.node(1, disk: process)
            let stores = SimulatedStateStores(media: media, disk: process, directory: "/meta")
            let store = try await stores.open()
            stateIndex = try store.get(ConsensusStorageLoopTests.stateKey).map { $0.reduce(0) { $0 << 8 | UInt64($1) } } ?? 0
            var options = MetadataOptions(cluster: ClusterID(rawValue: 1), node: NodeID(rawValue: 1), logDirectory: "/log")
            options.logSegmentBytes = 64 << 10
            let storage = try await ConsensusStorage.open(
                environment: environment, options: options, stateIndex: stateIndex, log: ConsensusStorageLoopTests.log)
            restored = storage.restored
            storage.onPersisted = { [weak self] token in self?.persisted(token) }
            storage.onFailure = { [weak self] _ in self?.failed() }
            return (stores, store, storage)
        }

        /// A life with everything in it.
        func run() async {
            do {
                let (stores, first, storage) = try await open()
                var store = first
                ledger.begin(memory)
                try await storage.bootstrap(memory.mark)
                ledger.tell()
                for round in 1...6 as ClosedRange<UInt64> {
                    try await vote(storage, term: 2 * round - 1)
                    // Several at a time, as Raft does.
                    let waiting = (0..<3).map { part in Task { @LoopActor in await self.append(storage, count: 1 + part, term: 2 * round - 1) } }
                    for part in waiting { guard await part.value else { return } }
                    try apply(storage, store, leaving: 3)
                    // A new leader replaces what was not committed.
                    try await vote(storage, term: 2 * round)
                    guard await append(storage, count: 4, term: 2 * round, replacing: 2) else { return }
                    try apply(storage, store, leaving: 1)
                    if round % 2 == 0 { try await compact(storage, store) }
                    if round == 3 || round == 5 { store = try await install(stores, storage, ahead: round == 3 ? 40 : 0) }
                }
            } catch {}
        }

        /// After a restart: one more entry.
        func appendOne(_ storage: ConsensusStorage) async -> Bool {
            guard let restored else { return false }
            memory = Memory(hardState: restored.hardState, mark: restored.snapshot, entries: restored.entries)
            return await append(storage, count: 1, term: restored.hardState.term + 1)
        }

        private func vote(_ storage: ConsensusStorage, term: Term) async throws {
            memory.hardState = HardState(term: term, vote: NodeID(rawValue: term % 3 + 1))
            guard await persist(storage, memory.hardState, []) else { throw MetadataServerError(.storage, "") }
        }

        private func append(_ storage: ConsensusStorage, count: Int, term: Term, replacing: UInt64 = 0) async -> Bool {
            let start = memory.last - replacing + 1
            let entries = (0..<UInt64(count)).map { number in
                Entry(
                    term: term, index: start + number,
                    payload: .data([UInt8](repeating: UInt8((start + number) % 251), count: 500 + Int((start + number) * 977 % 5000))))
            }
            memory.append(entries)
            return await persist(storage, nil, entries)
        }

        private func persist(_ storage: ConsensusStorage, _ state: HardState?, _ entries: [Entry]) async -> Bool {
            ledger.begin(memory)
            let token = nextToken
            nextToken += 1
            let step = ledger.steps.count - 1
            return await withUnsafeContinuation { continuation in
                tokens[token] = (step, continuation)
                storage.persist(state, entries, token: token)
                if storage.hasFailed { failed() }
            }
        }

        private func persisted(_ token: UInt64) {
            guard let (step, done) = tokens.removeValue(forKey: token) else { return }
            ledger.told = max(ledger.told, step)
            done?.resume(returning: true)
        }

        private func failed() {
            let waiting = tokens
            tokens = [:]
            for (_, waiter) in waiting { waiter.done?.resume(returning: false) }
        }

        private func put(_ index: LogIndex, into store: any OrderedStore) throws(StoreError) {
            var batch = WriteBatch()
            batch.put(ConsensusStorageLoopTests.stateKey, (0..<8).map { UInt8(truncatingIfNeeded: index >> (56 - 8 * $0)) })
            try store.write(batch)
        }

        private func apply(_ storage: ConsensusStorage, _ store: any OrderedStore, leaving: UInt64) throws {
            let index = min(storage.durableIndex, memory.last - leaving)
            guard index > stateIndex else { return }
            stateIndex = index
            try put(index, into: store)
        }

        private func compact(_ storage: ConsensusStorage, _ store: any OrderedStore) async throws {
            try store.flush()
            ledger.flushed = stateIndex
            let index = max(memory.mark.index, stateIndex - min(2, stateIndex))
            let term = memory.entries.first { $0.index == index }?.term ?? memory.mark.term
            let mark = SnapshotMark(index: index, term: term, configuration: memory.mark.configuration)
            memory.cut(at: mark)
            ledger.begin(memory)
            try await storage.compact(mark)
            ledger.tell()
        }

        private func install(_ stores: SimulatedStateStores, _ storage: ConsensusStorage, ahead: UInt64) async throws -> any OrderedStore {
            let fresh = try await stores.makeFresh()
            // Beyond the log, or within it.
            let index = memory.last + ahead
            try put(index, into: fresh)
            try fresh.flush()
            let term = ahead > 0 ? memory.hardState.term : memory.entries.last?.term ?? memory.mark.term
            let mark = SnapshotMark(index: index, term: term, configuration: memory.mark.configuration)
            memory.cut(at: mark)
            ledger.begin(memory)
            try await storage.beginInstall(mark)
            try await stores.adopt(fresh)
            ledger.flushed = index
            ledger.tell()
            try await storage.compact(mark)
            storage.skip(to: index)
            stateIndex = index
            await stores.removeUnused()
            return fresh
        }
    }

    @LoopActor private func check(_ life: Life, _ what: String) async throws {
        let ledger = life.ledger
        life.process = life.disk.process()
        do {
            let opened: (stores: SimulatedStateStores, store: any OrderedStore, storage: ConsensusStorage)
            do { opened = try await life.open() } catch {
                Issue.record("\(what): does not start: \(error)")
                return
            }
            let found = life.restored.map { Memory(hardState: $0.hardState, mark: $0.snapshot, entries: $0.entries) }
            #expect(ledger.steps[ledger.told...].contains(found), "\(what): step \(ledger.told) of \(ledger.steps.count) was told")
            #expect(life.stateIndex >= ledger.flushed, "\(what): the state lost what was flushed")
            #expect(life.stateIndex >= found?.mark.index ?? 0 && life.stateIndex <= found?.last ?? 0, "\(what): log and state do not fit")
            // What it found it answers for, even if nothing was told of it before.
            life.disk.crash()
            life.media.crash(.power)
            life.process = life.disk.process()
            _ = try await life.open()
            let again = life.restored.map { Memory(hardState: $0.hardState, mark: $0.snapshot, entries: $0.entries) }
            #expect(again == found, "\(what), after power loss")
            withExtendedLifetime(opened) {}
        }
        guard life.restored != nil else { return }
        life.process.kill()
        life.media.crash(.process)
        life.process = life.disk.process()
        let (_, _, storage) = try await life.open()
        #expect(await life.appendOne(storage), "\(what)")
        let last = life.ledger.steps.last ?? nil
        life.disk.crash()
        life.media.crash(.power)
        life.process = life.disk.process()
        _ = try await life.open()
        #expect(life.restored?.entries.last == last?.entries.last, "\(what), after an append")
    }

    @LoopActor private func crash(_ media: StateMedia, _ aftermath: FaultPlan.Aftermath, seed: Int) {
        media.crash(aftermath == .restart ? .process : .power, random: seed % 2 == 0 ? nil : SeededRandom(seed: UInt64(seed)))
    }

    @Test @LoopActor func everyDiskOperationGoesWrong() async throws {
        for (fault, aftermath) in FaultPlan.kinds {
            var number = 0
            while true {
                number += 1
                let plan = FaultPlan(operation: number, fault: fault, aftermath: aftermath)
                let life = Life()
                let process = life.process
                let isReached = await plan.strike(life.disk, process) { await life.run() }
                plan.follow(life.disk, process, seed: UInt64(number))
                crash(life.media, aftermath, seed: number)
                try await check(life, "\(plan)")
                process.release()
                if !isReached { break }
            }
            #expect(number > 100)
        }
    }

    @Test(arguments: [StoreError.Code.failed, .noSpace, nil]) @LoopActor func everyStateOperationGoesWrong(code: StoreError.Code?) async throws {
        var number = 0
        while true {
            number += 1
            for aftermath in FaultPlan.Aftermath.allCases {
                let life = Life()
                let process = life.process
                var left = number
                life.media.fault = { operation in
                    guard operation != .read else { return nil }
                    left -= 1
                    guard left == 0 else { return nil }
                    if code == nil { LoopActor.assumeIsolated { process.kill() } }
                    return code ?? .failed
                }
                let plan = FaultPlan(operation: .max / 2, fault: .error, aftermath: aftermath)
                _ = await plan.strike(life.disk, process) { await life.run() }
                life.media.fault = nil
                plan.follow(life.disk, process, seed: UInt64(number))
                crash(life.media, aftermath, seed: number)
                try await check(life, "state operation \(number), \(String(describing: code)), \(aftermath)")
                process.release()
                if left > 0 && aftermath == .partialLoss {
                    #expect(number > 15)
                    return
                }
            }
        }
    }

    @Test @LoopActor func everyRecoveryGoesWrong() async throws {
        var runs = 0
        for number in stride(from: 4, to: 140, by: 31) {
            for (index, (fault, aftermath)) in FaultPlan.kinds.enumerated() {
                let first = FaultPlan(operation: number, fault: .deathAfter, aftermath: FaultPlan.Aftermath.allCases[(number + index) % 3])
                var second = 0
                while true {
                    second += 1
                    let life = Life()
                    let process = life.process
                    _ = await first.strike(life.disk, process) { await life.run() }
                    first.follow(life.disk, process, seed: UInt64(number))
                    crash(life.media, first.aftermath, seed: number)
                    let plan = FaultPlan(operation: second, fault: fault, aftermath: aftermath)
                    let heir = life.disk.process()
                    life.process = heir
                    let isReached = await plan.strike(life.disk, heir) { _ = try? await life.open() }
                    plan.follow(life.disk, heir, seed: UInt64(second))
                    crash(life.media, aftermath, seed: second)
                    try await check(life, "\(first), then \(plan)")
                    process.release()
                    heir.release()
                    runs += 1
                    if !isReached { break }
                }
            }
        }
        #expect(runs > 500)
    }
}
