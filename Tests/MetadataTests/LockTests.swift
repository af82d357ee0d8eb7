@testable import Metadata
import Model
import Namespace
import Runtime
import Testing
import TestSupport

/// Advisory locks over a group of servers that die, and networks that are cut.
@Suite(.serialized) struct LockTests {
    private let file = InodeID(rawValue: 1000)

    private func lock(_ mode: LockMode?, _ id: UInt64 = 1, _ family: LockFamily = .posix) -> FileLock {
        FileLock(LockOwner(family, id), process: 99, whole: mode)
    }

    private func lock(_ first: UInt64, _ last: UInt64, _ mode: LockMode?, _ id: UInt64 = 1) -> FileLock {
        FileLock(LockOwner(.posix, id), process: 99, LockRange(first, last) ?? .all, mode)
    }

    @LoopActor private func waiting(_ client: LeaderMetadataClient, _ lock: FileLock, _ interrupt: Interrupt? = nil) -> Task<LockOutcome, any Error> {
        Task { @LoopActor in try await client.setLock(file, lock, waits: true, interrupt: interrupt) }
    }

    @LoopActor private func set(_ client: LeaderMetadataClient, _ lock: FileLock) async throws -> LockOutcome {
        try await client.setLock(file, lock, waits: false, interrupt: nil)
    }

    /// How many requests wait at the leader.
    @LoopActor private func waits(_ group: TestGroup) -> UInt64 { group.nodes.compactMap { $0.server?.status.lockWaits }.max() ?? 0 }

    @Test @LoopActor func conflictsBetweenSessions() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            #expect(try await set(a, lock(10, 19, .exclusive)) == .granted)
            #expect(try await set(b, lock(0, 9, .exclusive)) == .granted)
            // The process of another machine has no meaning here, that of one's own has.
            let expected = FileLock(LockOwner(.posix, 1), process: 0, LockRange(10, 19) ?? .all, .exclusive)
            #expect(try await set(b, lock(.shared)) == .conflict(expected))
            #expect(try await b.testLock(file, lock(.shared)) == expected)
            let own = try await a.testLock(file, lock(10, 19, .shared, 2))
            #expect(own?.process == 99)
            #expect(try await b.testLock(file, lock(20, 29, .shared)) == nil)
            #expect(try await set(a, lock(.exclusive, 1, .flock)) == .granted)
            #expect(a.holdsLock(file, LockOwner(.posix, 1)) && a.holdsLock(file, nil) && !a.holdsLock(file, LockOwner(.posix, 2)))
            #expect(try await set(a, lock(nil)) == .granted)
            #expect(!a.holdsLock(file, LockOwner(.posix, 1)))
            #expect(try await set(b, lock(.exclusive)) == .granted)
            await b.close()
            #expect(try await set(a, lock(.exclusive)) == .granted)
        }
    }

    @Test @LoopActor func waitsAndIsWoken() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            #expect(try await set(a, lock(.exclusive)) == .granted)
            let task = waiting(b, lock(.exclusive))
            try await group.wait { waits(group) == 1 }
            // Longer than any deadline of a request: who waits for a lock waits.
            await group.world.clock.sleep(nanoseconds: 70 * Nanoseconds.second)
            #expect(waits(group) == 1)
            #expect(try await set(a, lock(nil)) == .granted)
            #expect(try await task.value == .granted)
            guard case .conflict = try await set(a, lock(.shared)) else {
                Issue.record("two hold it")
                return
            }
        }
    }

    @Test @LoopActor func aSignalEndsTheWaiting() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b, c) = (group.client("a"), group.client("b"), group.client("c"))
        try await group.run {
            #expect(try await set(a, lock(.exclusive)) == .granted)
            #expect(try await set(b, lock(.shared, 7, .flock)) == .granted)
            let interrupt = Interrupt()
            let task = waiting(b, lock(.exclusive), interrupt)
            try await group.wait { waits(group) == 1 }
            let start = group.world.clock.now
            interrupt.raise()
            #expect(try await task.value == .interrupted)
            #expect(group.world.clock.now - start < Nanoseconds.second)
            #expect(waits(group) == 0)
            #expect(try await set(a, lock(nil)) == .granted)
            #expect(try await set(c, lock(.exclusive)) == .granted)
            // Raised before the call.
            let early = waiting(b, lock(.exclusive), interrupt)
            #expect(try await early.value == .interrupted)
            #expect(try await set(c, lock(nil)) == .granted)
            #expect(try await set(a, lock(.exclusive)) == .granted)
        }
    }

    /// The signal comes while nobody can be asked: the caller is not kept, and nothing is left behind.
    @Test @LoopActor func aSignalWithoutALeader() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            #expect(try await set(a, lock(0, 9, .exclusive)) == .granted)
            #expect(try await set(b, lock(20, 29, .shared)) == .granted)
            let (queued, fresh) = (Interrupt(), Interrupt())
            let first = waiting(b, lock(0, 29, .exclusive), queued)
            try await group.wait { waits(group) == 1 }
            for node in group.nodes { group.world.fabric.cut("b", node.name) }
            let second = waiting(b, lock(40, 49, .exclusive), fresh)
            await group.world.clock.sleep(nanoseconds: 100 * Nanoseconds.millisecond)
            let start = group.world.clock.now
            queued.raise()
            fresh.raise()
            #expect(try await first.value == .interrupted)
            #expect(try await second.value == .interrupted)
            #expect(group.world.clock.now - start < 3 * Nanoseconds.second)
            // Granted to nobody who would know.
            #expect(try await set(a, lock(nil)) == .granted)
            group.world.fabric.healAll()
            #expect(try await set(b, lock(60, 60, .shared)) == .granted)
            #expect(try await set(a, lock(0, 19, .exclusive)) == .granted)
            #expect(try await set(a, lock(40, 59, .exclusive)) == .granted)
            // What it had before it still has, and no more than that.
            guard case .conflict(let kept) = try await set(a, lock(20, 29, .exclusive)) else {
                Issue.record("a lock was lost")
                return
            }
            #expect(kept.range == LockRange(20, 29) && kept.mode == .shared)
        }
    }

    @Test @LoopActor func deadlockBetweenSessions() async throws {
        let group = TestGroup(1)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            #expect(try await set(a, lock(0, 0, .exclusive)) == .granted)
            #expect(try await set(b, lock(1, 1, .exclusive)) == .granted)
            let task = waiting(a, lock(1, 1, .exclusive))
            try await group.wait { waits(group) == 1 }
            let circle = waiting(b, lock(0, 0, .exclusive))
            #expect(try await circle.value == .deadlock)
            #expect(try await set(b, lock(nil)) == .granted)
            #expect(try await task.value == .granted)
        }
    }

    @Test @LoopActor func limitsAreTold() async throws {
        let group = TestGroup(1) { $0.locks.session = 3 }
        try await group.start()
        let a = group.client("a")
        try await group.run {
            for place: UInt64 in 0..<4 {
                let outcome = try await set(a, lock(place * 2, place * 2, .shared))
                #expect(outcome == (place < 3 ? .granted : .exhausted))
            }
            #expect(try await set(a, lock(nil)) == .granted)
            #expect(try await set(a, lock(90, 90, .shared)) == .granted)
        }
    }

    // MARK: Change of leader

    @Test @LoopActor func locksAndWaitsOutliveTheLeader() async throws {
        for seed: UInt64 in 1...4 {
            let group = TestGroup(3, seed: seed)
            try await group.start()
            let (a, b, c) = (group.client("a"), group.client("b"), group.client("c"))
            try await group.run {
                #expect(try await set(a, lock(0, 9, .exclusive)) == .granted)
                #expect(try await set(a, lock(.shared, 5, .flock)) == .granted)
                let first = waiting(b, lock(5, 5, .exclusive))
                let second = waiting(b, lock(.exclusive, 6, .flock))
                try await group.wait { waits(group) == 2 }
                group.kill(try await group.leader())
                // Nobody comes in between, not in the grace period either.
                guard case .conflict = try await set(c, lock(5, 5, .shared)), case .conflict = try await set(c, lock(.exclusive, 1, .flock)) else {
                    Issue.record("seed \(seed): a lock was lost with its leader")
                    return
                }
                try await group.wait { waits(group) == 2 }
                #expect(try await set(a, lock(nil)) == .granted)
                #expect(try await first.value == .granted)
                #expect(try await set(a, lock(nil, 5, .flock)) == .granted)
                #expect(try await second.value == .granted)
                #expect(try await set(b, lock(nil)) == .granted)
                #expect(try await set(c, lock(5, 5, .exclusive)) == .granted)
            }
        }
    }

    /// The leader dies between carrying a request out and its answer. Whatever it was, in the end exactly one has the lock, and everybody knows who.
    @Test @LoopActor func anAnswerThatDiesWithTheLeader() async throws {
        for seed: UInt64 in 1...6 {
            let group = TestGroup(3, seed: seed)
            try await group.start()
            let (a, b) = (group.client("a"), group.client("b"))
            try await group.run {
                let isUnlock = seed % 2 == 0
                if isUnlock { #expect(try await set(a, lock(.exclusive)) == .granted) }
                var isCarriedOut = false
                group.beforeLockAnswer = { name in
                    guard name == "a", !isCarriedOut else { return }
                    isCarriedOut = true
                    await group.world.clock.sleep(nanoseconds: Nanoseconds.minute)
                }
                let task = Task { @LoopActor in try await set(a, lock(isUnlock ? nil : .exclusive)) }
                try await group.wait { isCarriedOut }
                // Carried out and not answered: the lock is free for this one, which will claim it.
                if isUnlock { #expect(try await set(b, lock(.exclusive)) == .granted) }
                var lost = 0
                a.onSessionLost = { lost += 1 }
                b.onSessionLost = { lost += 1 }
                group.kill(try await group.leader())
                #expect(try await task.value == .granted)
                #expect(lost == 0, "seed \(seed): two claimed one lock")
                guard case .conflict = try await set(isUnlock ? a : b, lock(.shared)) else {
                    Issue.record("seed \(seed): nobody has it")
                    return
                }
                #expect((isUnlock ? b : a).holdsLock(file, nil) && !(isUnlock ? a : b).holdsLock(file, nil))
            }
        }
    }

    /// The message that it is granted is lost with the connection, not with the leader.
    @Test @LoopActor func grantsAreRepeated() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            #expect(try await set(a, lock(.exclusive)) == .granted)
            let task = waiting(b, lock(.exclusive))
            try await group.wait { waits(group) == 1 }
            for node in group.nodes { group.world.fabric.cut("b", node.name) }
            #expect(try await set(a, lock(nil)) == .granted)
            await group.world.clock.sleep(nanoseconds: 4 * Nanoseconds.second)
            group.world.fabric.healAll()
            #expect(try await task.value == .granted)
            guard case .conflict = try await set(a, lock(.shared)) else {
                Issue.record("nobody has it")
                return
            }
        }
    }

    // MARK: The end of a session

    @Test @LoopActor func aDeadSessionLosesItsLocks() async throws {
        let group = TestGroup(3)
        try await group.start()
        let (a, b) = (group.client("a"), group.client("b"))
        try await group.run {
            #expect(try await set(a, lock(.exclusive)) == .granted)
            let other = Task { @LoopActor in try await a.setLock(InodeID(rawValue: 5), lock(.exclusive), waits: false, interrupt: nil) }
            #expect(try await other.value == .granted)
            var held: [Bool] = []
            a.onSessionLost = { [weak a] in held.append(a?.holdsLock(InodeID(rawValue: 1000), nil) ?? false) }
            let until = a.leaseRemaining
            for node in group.nodes { group.world.fabric.cut("a", node.name) }
            let start = group.world.clock.now
            let next = waiting(b, lock(.exclusive))
            #expect(try await next.value == .granted)
            // Not before its holder must know that it is over.
            #expect(group.world.clock.now - start >= until)
            let late = waiting(a, lock(.exclusive, 2))
            group.world.fabric.healAll()
            await #expect(throws: MetadataError.self) { try await late.value }
            try await group.wait { !held.isEmpty }
            #expect(held == [true] && !a.holdsLock(file, nil))
            // With a new session it stands in line as everybody.
            guard case .conflict = try await set(a, lock(.shared)) else {
                Issue.record("two hold it")
                return
            }
        }
    }
}
