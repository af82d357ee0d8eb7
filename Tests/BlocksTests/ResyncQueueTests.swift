import Blocks
import Digest
import Model
import OrderedStore
import Runtime
import Telemetry
import Testing
import TestSupport

@Suite @LoopActor struct ResyncQueueTests {
    @LoopActor
    final class Bench {
        let world = MemoryWorld()
        let store = MemoryStore()
        var queue: ResyncQueue
        var performed: [(task: ResyncTask, time: UInt64)] = []
        var outcome: @LoopActor (ResyncTask) async -> ResyncOutcome = { _ in .done }

        init() throws { queue = try ResyncQueue(store: store, environment: world.node(1), log: Log(component: "test", level: .error)) }

        func start() {
            queue.start { [unowned self] task in
                performed.append((task, world.clock.now))
                return await outcome(task)
            }
        }

        func restart() throws {
            queue.stop()
            queue = try ResyncQueue(store: store, environment: world.node(1), log: Log(component: "test", level: .error))
        }
    }

    static func task(_ number: UInt64, node: UInt64 = 2) -> ResyncTask {
        ResyncTask(node: NodeID(rawValue: node), key: BlockKey(words: (number, number, number, number)))
    }

    @Test func tasksAreDoneOnceAndForgotten() async throws {
        let bench = try Bench()
        bench.start()
        bench.queue.enqueue(Self.task(1))
        bench.queue.enqueue(Self.task(1))
        bench.queue.enqueue(Self.task(2))
        await settle()
        #expect(Set(bench.performed.map(\.task)) == [Self.task(1), Self.task(2)])
        #expect(bench.queue.status.length == 0 && bench.queue.status.finished >= 2)
        #expect(bench.store.count == 0)
    }

    @Test func delaysAreKept() async throws {
        let bench = try Bench()
        bench.start()
        let begin = bench.world.clock.now
        bench.queue.enqueue(Self.task(1), delay: 5 * Nanoseconds.second)
        await bench.world.clock.advance(by: 10 * Nanoseconds.second)
        #expect(bench.performed.map { $0.time - begin } == [5 * Nanoseconds.second])
    }

    @Test func failuresBackOff() async throws {
        let bench = try Bench()
        bench.outcome = { _ in .failed("no") }
        bench.start()
        bench.queue.enqueue(Self.task(1))
        await bench.world.clock.advance(by: 12 * 60 * Nanoseconds.minute)
        let times = bench.performed.map(\.time)
        let pauses = zip(times.dropFirst(), times).map { Double($0 - $1) / Double(Nanoseconds.second) }
        let expected: [Double] = [1, 1, 1, 1, 60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]
        #expect(pauses.count >= expected.count)
        for (pause, least) in zip(pauses, expected) { #expect(pause >= least && pause <= least * 1.125 + 0.001, "\(pauses)") }
        #expect(bench.queue.status.failedAttempts == UInt64(times.count))
        #expect(bench.queue.status.oldestAge == 12 * 60 * Nanoseconds.minute)
        #expect(bench.store.count == 3, "one task, three rows")
    }

    @Test func tasksSurviveARestart() async throws {
        let bench = try Bench()
        for number in 1...5 { bench.queue.enqueue(Self.task(UInt64(number))) }
        try bench.restart()
        #expect(bench.queue.status.length == 5)
        bench.start()
        await settle()
        #expect(bench.performed.count == 5 && bench.store.count == 0)
    }

    @Test func aTaskUnderWayAtACrashIsDoneAgain() async throws {
        let bench = try Bench()
        var held: UnsafeContinuation<Void, Never>?
        bench.outcome = { _ in
            await withUnsafeContinuation { held = $0 }
            return .done
        }
        bench.start()
        bench.queue.enqueue(Self.task(1))
        await settle()
        #expect(bench.queue.status.inProgress == 1)
        let other = try ResyncQueue(store: bench.store, environment: bench.world.node(1), log: Log(component: "test"))
        #expect(other.status.length == 1)
        held?.resume()
        await settle()
        #expect(bench.queue.status.length == 0)
    }

    @Test func workersAreBounded() async throws {
        let bench = try Bench()
        var held: [UnsafeContinuation<Void, Never>] = []
        bench.outcome = { _ in
            await withUnsafeContinuation { held.append($0) }
            return .done
        }
        bench.start()
        for number in 1...10 { bench.queue.enqueue(Self.task(UInt64(number))) }
        await settle()
        #expect(held.count == ResyncQueue.workersMax)
        var total = 0
        while !held.isEmpty {
            let batch = held
            held = []
            total += batch.count
            for continuation in batch { continuation.resume() }
            await settle()
            #expect(held.count <= ResyncQueue.workersMax)
        }
        #expect(total == 10 && bench.queue.status.length == 0)
    }

    @Test func aReturningNodesTasksAreTriedAtOnce() async throws {
        let bench = try Bench()
        bench.outcome = { $0.node.rawValue == 3 ? .failed("still away") : .failed("no") }
        bench.start()
        for number in 1...3 { bench.queue.enqueue(Self.task(UInt64(number), node: 2)) }
        bench.queue.enqueue(Self.task(9, node: 3))
        await bench.world.clock.advance(by: 10 * Nanoseconds.minute)
        bench.performed = []
        bench.outcome = { _ in .done }
        bench.queue.retry(NodeID(rawValue: 2))
        await bench.world.clock.advance(by: 0)
        #expect(Set(bench.performed.map(\.task)) == Set((1...3).map { Self.task(UInt64($0), node: 2) }))
        #expect(bench.queue.status.length == 1)
    }

    @Test func afterAReturnTheFirstTriesAreQuickAgain() async throws {
        let bench = try Bench()
        bench.outcome = { _ in .failed("away") }
        bench.start()
        bench.queue.enqueue(Self.task(1))
        await bench.world.clock.advance(by: 10 * Nanoseconds.minute)
        bench.queue.retry(NodeID(rawValue: 2))
        await bench.world.clock.advance(by: 0)
        bench.outcome = { _ in .done }
        await bench.world.clock.advance(by: Nanoseconds.second)
        #expect(bench.queue.status.length == 0)
    }

    @Test func manyTasksOfAReturningNodeAreTriedInBatches() async throws {
        let bench = try Bench()
        let count = 1500
        for number in 0..<count { bench.queue.enqueue(Self.task(UInt64(number)), delay: Nanoseconds.minute) }
        bench.start()
        await settle()
        #expect(bench.performed.isEmpty)
        bench.queue.retry(NodeID(rawValue: 2))
        for _ in 0..<200 where bench.performed.count < count { await bench.world.clock.advance(by: 1) }
        #expect(Set(bench.performed.map(\.task)).count == count)
        #expect(bench.store.count == 0)
    }

    @Test func whatIsEnqueuedWhileItIsDoneIsDoneAgain() async throws {
        let bench = try Bench()
        bench.outcome = { [unowned bench] task in
            if bench.performed.count == 1 { bench.queue.enqueue(task) }
            return .done
        }
        bench.start()
        bench.queue.enqueue(Self.task(1))
        await settle()
        #expect(bench.performed.count == 2)
        #expect(bench.queue.status.length == 0 && bench.store.count == 0)
    }

    @Test func aWallClockSetBackDoesNotStopTheQueue() async throws {
        let bench = try Bench()
        bench.queue.enqueue(Self.task(1))
        bench.world.clock.wallTime -= Int64(24 * 60 * Nanoseconds.minute)
        bench.start()
        await settle()
        #expect(bench.performed.count == 1)
    }

    /// A store whose disk is full.
    private final class FullStore: OrderedStore {
        func get(_ key: [UInt8]) -> [UInt8]? { nil }
        func scan(from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool) {}
        func write(_ batch: WriteBatch) throws(StoreError) { throw StoreError(.noSpace, "full") }
        func flush() throws(StoreError) { throw StoreError(.noSpace, "full") }
        func snapshot() -> any OrderedReader & Sendable { MemoryStore().snapshot() }
    }

    @Test func whatCannotBeNotedIsCounted() async throws {
        let world = MemoryWorld()
        let queue = try ResyncQueue(store: FullStore(), environment: world.node(1), log: Log(component: "test", level: .error))
        queue.enqueue(Self.task(1))
        #expect(queue.status.refused == 1 && queue.status.length == 0)
    }

    @Test func theTimeLeftFollowsTheRate() async throws {
        let bench = try Bench()
        let clock = bench.world.clock
        bench.outcome = { _ in
            await clock.sleep(nanoseconds: Nanoseconds.second)
            return .done
        }
        for number in 0..<400 { bench.queue.enqueue(Self.task(UInt64(number))) }
        #expect(bench.queue.status.secondsLeft == nil)
        bench.start()
        await clock.advance(by: 60 * Nanoseconds.second)
        let status = bench.queue.status
        // Four workers, a second each.
        #expect(status.length >= 160 && status.length <= 164)
        let left = try #require(status.secondsLeft)
        #expect(left >= 35 && left <= 50, "\(left)")
    }
}
