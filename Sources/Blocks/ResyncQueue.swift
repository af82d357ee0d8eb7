import Bytes
import Digest
package import Model
package import OrderedStore
package import Runtime
package import Telemetry

/// The copies that are missing somewhere, and the workers that bring them there. Survives restarts in an `OrderedStore` that logs its
/// writes.
///
/// A row is written, not synced: after a power failure the newest may be missing, and `verify` or the next reader finds
/// what they were about. A task exists once, whoever enqueues it how often.
@LoopActor
package final class ResyncQueue: Sendable {
    /// Does one task.
    package typealias Perform = @LoopActor (ResyncTask) async -> ResyncOutcome

    package static let lengthMax = 1_000_000
    package static let workersMax = 4
    /// The first tries come a second apart; then 1, 2, 4 … 64 minutes.
    private static let quickTries: UInt32 = 4
    private static let pauseMax = 64 * Nanoseconds.minute
    /// The longest pause where the daemon is alive: it was away too shortly to be missed, or is busy, or its disk is full.
    private static let livingPauseMax = 2 * Nanoseconds.minute
    private static let rateWindow = 30 * Nanoseconds.second
    private static let rowsPerBatch = 1024

    private let store: any OrderedStore
    private let clock: any Clock
    private let random: any RandomSource
    private let log: Log
    private var perform: Perform?
    private var isDown: @LoopActor (NodeID) -> Bool = { _ in true }
    private var length = 0
    /// Tasks under way; true if the task was enqueued again meanwhile.
    private var inProgress: [ResyncTask: Bool] = [:]
    private var timer: (any TimerHandle)?
    private var finishedCount: UInt64 = 0
    private var failedAttempts: UInt64 = 0
    private var refused: UInt64 = 0
    private let start: UInt64
    private let wallAtStart: UInt64
    private var windowStart: UInt64
    private var windowCount: UInt64 = 0
    private var windowBeforeCount: UInt64 = 0

    /// Opens the queue with what an earlier process left. The store must be used by nothing else and not be closed before `stop`.
    package init(store: any OrderedStore, environment: Environment, log: Log) throws(StoreError) {
        self.store = store
        clock = environment.clock
        random = environment.random
        self.log = log
        start = environment.clock.now
        wallAtStart = UInt64(max(0, environment.clock.wallTime))
        windowStart = start
        var count = 0
        try store.scan(from: ResyncRow.table.from, to: ResyncRow.table.to) { _, _ in
            count += 1
            return true
        }
        length = count
    }

    /// Lets the workers begin, and tries now what failed before: who failed an earlier process, and why, says nothing about the present.
    /// - Parameter isDown: whether a daemon is known not to answer, so that its tasks wait for `retry`; what fails with others is soon tried again.
    package func start(isDown: @escaping @LoopActor (NodeID) -> Bool = { _ in true }, _ perform: @escaping Perform) {
        self.perform = perform
        self.isDown = isDown
        pump()
        retry(from: ResyncRow.table.from, to: ResyncRow.table.to, onlyFailed: true)
    }

    /// Begins no more tasks. Those under way end, and are forgotten if they end well.
    package func stop() {
        perform = nil
        timer?.cancel()
        timer = nil
    }

    /// Notes that `task.node` lacks `task.key`.
    /// - Parameter delay: nanoseconds until the first try.
    package func enqueue(_ task: ResyncTask, delay: UInt64 = 0) {
        #if CANARIES
            if Canary.forgetsOwedCopies.isActive { return }
        #endif
        if inProgress[task] != nil {
            inProgress[task] = true
            return
        }
        do throws(StoreError) {
            guard try store.get(ResyncRow.tableKey(task)) == nil else { return }
            guard length < Self.lengthMax else { return refuse(task, "the queue is full") }
            let row = ResyncRow(due: now &+ delay, since: now)
            var batch = WriteBatch()
            batch.put(ResyncRow.dueKey(task, row.due), [])
            batch.put(ResyncRow.ageKey(task, row.since), [])
            batch.put(ResyncRow.tableKey(task), row.encoded)
            try store.write(batch)
            length += 1
        } catch {
            return refuse(task, error.cause)
        }
        pump()
    }

    /// Tries all tasks for `node` now: it is alive again.
    package func retry(_ node: NodeID) {
        // An attempt under way may have begun before the node was back; if it fails it says nothing.
        for task in inProgress.keys where task.node == node { inProgress[task] = true }
        let end = ResyncRow.tablePrefix(NodeID(rawValue: node.rawValue &+ 1))
        retry(from: ResyncRow.tablePrefix(node), to: node.rawValue == .max ? ResyncRow.table.to : end, onlyFailed: false)
    }

    private func retry(from lower: [UInt8], to upper: [UInt8], onlyFailed: Bool) {
        Task { @LoopActor in
            var next = lower
            do throws(StoreError) {
                while true {
                    let moved = try hasten(from: next, to: upper, onlyFailed: onlyFailed)
                    pump()
                    guard let moved else { return }
                    next = moved
                    // Others get the loop between two batches.
                    await clock.sleep(nanoseconds: 0)
                }
            } catch {
                log.error("resync queue cannot be read", ["cause": error.cause])
            }
        }
    }

    package var status: ResyncStatus {
        rollWindow()
        var oldest: UInt64?
        do throws(StoreError) {
            try store.scan(from: ResyncRow.ages.from, to: ResyncRow.ages.to) { key, _ in
                oldest = ResyncRow.parse(key)?.time
                return false
            }
        } catch {
            log.error("resync queue cannot be read", ["cause": error.cause])
        }
        let span = (clock.now &- windowStart + Self.rateWindow) / Nanoseconds.second
        let recent = windowCount + windowBeforeCount
        return ResyncStatus(
            length: length, inProgress: inProgress.count, oldestAge: oldest.map { now > $0 ? now - $0 : 0 }, finished: finishedCount,
            failedAttempts: failedAttempts, refused: refused,
            secondsLeft: length == 0 ? 0 : recent == 0 ? nil : UInt64(length) * max(span, 1) / recent)
    }

    // MARK: Running

    /// Nanoseconds since 1970 as the wall clock had it when the process began, so that a clock that is set back later delays nothing. Times in the store
    /// must mean something to the next process too.
    private var now: UInt64 { wallAtStart &+ (clock.now &- start) }

    /// Begins due tasks as far as workers are free, and sets the timer for the next one.
    private func pump() {
        timer?.cancel()
        timer = nil
        guard perform != nil, inProgress.count < Self.workersMax else { return }
        let now = now
        var due: [(task: ResyncTask, time: UInt64)] = []
        var nextDue: UInt64?
        let free = Self.workersMax - inProgress.count
        do throws(StoreError) {
            try store.scan(from: ResyncRow.dues.from, to: ResyncRow.dues.to) { key, _ in
                guard let (time, task) = ResyncRow.parse(key) else { return true }
                if inProgress[task] != nil { return true }
                // A time that no back-off leads to was written before the wall clock was set back.
                guard time <= now || time - now > 2 * Self.pauseMax else {
                    nextDue = time
                    return false
                }
                due.append((task, time))
                return due.count < free
            }
        } catch {
            log.error("resync queue cannot be read", ["cause": error.cause])
            nextDue = now + Nanoseconds.minute
        }
        for (task, time) in due { begin(task, due: time) }
        if let nextDue, inProgress.count < Self.workersMax {
            timer = clock.schedule(after: nextDue - now) { [weak self] in self?.pump() }
        }
    }

    private func begin(_ task: ResyncTask, due: UInt64) {
        guard let perform else { return }
        inProgress[task] = false
        Task { @LoopActor in
            let outcome = await perform(task)
            end(task, due: due, outcome)
        }
    }

    private func end(_ task: ResyncTask, due: UInt64, _ outcome: ResyncOutcome) {
        let isWantedAgain = inProgress.removeValue(forKey: task) ?? false
        do throws(StoreError) {
            let old = try row(task) ?? ResyncRow(due: due, since: now)
            var batch = WriteBatch()
            batch.delete(ResyncRow.dueKey(task, due))
            batch.delete(ResyncRow.dueKey(task, old.due))
            if outcome == .done, !isWantedAgain {
                batch.delete(ResyncRow.tableKey(task))
                batch.delete(ResyncRow.ageKey(task, old.since))
                try store.write(batch)
                length -= 1
            } else {
                var row = old
                row.lastTry = now
                if case .failed(let cause) = outcome {
                    row.errors = min(row.errors + 1, 1 << 20)
                    row.lastCause = cause
                    let limit = isDown(task.node) ? Self.pauseMax : Self.livingPauseMax
                    row.due = isWantedAgain ? now : now &+ pause(afterErrors: row.errors, limit: limit)
                } else {
                    row.due = now
                }
                batch.put(ResyncRow.dueKey(task, row.due), [])
                batch.put(ResyncRow.tableKey(task), row.encoded)
                try store.write(batch)
            }
        } catch {
            log.error("resync queue cannot be written", ["cause": error.cause])
        }
        if case .failed(let cause) = outcome {
            failedAttempts += 1
            log.debug("resync failed", ["node": task.node.description, "block": task.key.description, "cause": cause])
        } else {
            finishedCount += 1
            rollWindow()
            windowCount += 1
        }
        pump()
    }

    /// Makes up to `rowsPerBatch` tasks of a range due; returns where to go on, nil at the end.
    private func hasten(from lower: [UInt8], to upper: [UInt8], onlyFailed: Bool) throws(StoreError) -> [UInt8]? {
        var rows: [(task: ResyncTask, row: ResyncRow)] = []
        var seen = 0
        var last: [UInt8]?
        try store.scan(from: lower, to: upper) { key, value in
            if seen == Self.rowsPerBatch { return false }
            seen += 1
            last = Array(key)
            if let task = ResyncRow.parseTable(key), inProgress[task] == nil, let row = Self.decode(value) { rows.append((task, row)) }
            return true
        }
        let now = now
        var batch = WriteBatch()
        // What nobody has tried yet is due soon, unless the wall clock was set back since it was noted.
        for (task, old) in rows where old.due > now && (old.errors > 0 || !onlyFailed || old.due - now > Nanoseconds.minute) {
            var row = old
            row.due = now
            // Why it failed before is past; if the first try comes too early, the next one must not be a minute away.
            row.errors = 0
            batch.delete(ResyncRow.dueKey(task, old.due))
            batch.put(ResyncRow.dueKey(task, row.due), [])
            batch.put(ResyncRow.tableKey(task), row.encoded)
        }
        if !batch.isEmpty { try store.write(batch) }
        guard seen == Self.rowsPerBatch, let last else { return nil }
        return last + [0]
    }

    private func row(_ task: ResyncTask) throws(StoreError) -> ResyncRow? {
        try store.get(ResyncRow.tableKey(task)).flatMap { bytes in bytes.withUnsafeBytes { Self.decode($0) } }
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) -> ResyncRow? {
        do throws(DecodeError) { return try ResyncRow(decoding: bytes) } catch { return nil }
    }

    private func pause(afterErrors errors: UInt32, limit: UInt64) -> UInt64 {
        guard errors > Self.quickTries else { return Nanoseconds.second }
        let pause = min(Nanoseconds.minute << UInt64(min(errors - Self.quickTries - 1, 8)), limit)
        // Up to an eighth more, so that those who failed together do not return together.
        return pause + random.next() % (pause / 8)
    }

    private func refuse(_ task: ResyncTask, _ cause: String) {
        refused += 1
        log.error(
            "missing copy not noted; verify will find it",
            ["node": task.node.description, "block": task.key.description, "cause": cause])
    }

    private func rollWindow() {
        let passed = clock.now &- windowStart
        guard passed >= Self.rateWindow else { return }
        windowBeforeCount = passed < 2 * Self.rateWindow ? windowCount : 0
        windowCount = 0
        windowStart = clock.now
    }
}
