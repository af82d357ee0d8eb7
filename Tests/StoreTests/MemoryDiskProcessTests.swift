import Bytes
import Runtime
import TestSupport
import Testing

/// Lives of processes on the simulated disk, its latency, and its faults by chance.
@Suite @LoopActor struct MemoryDiskProcessTests {
    /// What a task came to.
    @LoopActor private final class Progress {
        var steps: [String] = []
    }

    private func slice(_ byte: UInt8, _ count: Int) -> Slice { Slice(copying: [UInt8](repeating: byte, count: count)) }

    private func newFile(_ disk: any Disk) async throws(DiskError) -> any DiskFile {
        try await disk.createDirectory("/d")
        let file = try await disk.open("/d/f", .createNew)
        try await disk.syncDirectory("/d")
        return file
    }

    private func slow(_ clock: VirtualClock, seed: UInt64 = 1) -> MemoryDisk {
        let disk = MemoryDisk(clock: clock, random: SeededRandom(seed: seed))
        let spread = MemoryDiskLatency.Spread(min: 1000, mean: 5000, max: 20_000)
        disk.latency = MemoryDiskLatency(read: spread, write: spread, sync: spread, names: spread, perPage: 0)
        return disk
    }

    /// Runs `work` and notes how it ends.
    private func run(_ progress: Progress, _ name: String, _ work: @escaping @LoopActor () async throws(DiskError) -> Void) {
        Task { @LoopActor in
            do throws(DiskError) {
                try await work()
                progress.steps.append(name)
            } catch {
                progress.steps.append("\(name): \(error.code)")
            }
        }
    }

    @Test(arguments: [false, true]) func aDeadProcessDoesNothing(isSlow: Bool) async throws {
        let clock = VirtualClock()
        let disk = isSlow ? slow(clock) : MemoryDisk()
        let first = disk.process()
        let progress = Progress()
        run(progress, "prepared") { () throws(DiskError) in
            let file = try await self.newFile(first)
            try await file.write([self.slice(1, 10)], at: 0, sync: false)
        }
        await clock.advance(by: Nanoseconds.second)
        #expect(progress.steps == ["prepared"])
        run(progress, "opened") { () throws(DiskError) in _ = try await first.open("/d/g", .createNew) }
        first.kill()
        run(progress, "listed") { () throws(DiskError) in _ = try await first.list("/d") }
        await clock.advance(by: Nanoseconds.second)
        #expect(progress.steps == ["prepared"])
        #expect(!first.isAlive)
        // What it wrote is still there for the next one, until the power goes.
        #expect(disk.files == ["/d/f"])
        #expect(disk.content("/d/f")?.count == 10)
        let second = disk.process()
        run(progress, "second") { () throws(DiskError) in _ = try await second.open("/d/f", .existing) }
        await clock.advance(by: Nanoseconds.second)
        #expect(progress.steps == ["prepared", "second"])
        disk.crash()
        #expect(disk.content("/d/f") == [])
        #expect(!second.isAlive)
        first.release()
        await settle()
        #expect(progress.steps == ["prepared", "second", "opened: failed", "listed: failed"] || progress.steps == ["prepared", "second", "listed: failed", "opened: failed"])
        #expect(disk.files == ["/d/f"])
    }

    @Test func aKilledProcessMayHaveDoneItsLastCalls() async throws {
        var outcomes: Set<Int> = []
        for seed in 1...20 as ClosedRange<UInt64> {
            let clock = VirtualClock()
            let disk = slow(clock)
            let process = disk.process()
            let progress = Progress()
            run(progress, "prepared") { () throws(DiskError) in
                let file = try await self.newFile(process)
                for place in 0..<3 as Range<UInt64> {
                    self.run(progress, "written") { () throws(DiskError) in try await file.write([self.slice(1, 10)], at: 10 * place, sync: false) }
                }
            }
            while !progress.steps.contains("prepared") { _ = await clock.advanceToNextTimer() }
            await settle()
            process.kill(random: SeededRandom(seed: seed))
            await clock.advance(by: Nanoseconds.second)
            #expect(!progress.steps.contains("written"))
            outcomes.insert(disk.content("/d/f")?.filter { $0 == 1 }.count ?? -1)
            process.release()
        }
        #expect(outcomes == [0, 10, 20, 30])
    }

    @Test(arguments: [false, true]) func aFrozenProcessIsAnsweredLater(isSlow: Bool) async throws {
        let clock = VirtualClock()
        let disk = isSlow ? slow(clock) : MemoryDisk()
        let process = disk.process()
        let progress = Progress()
        process.freeze()
        run(progress, "made") { () throws(DiskError) in try await process.createDirectory("/d") }
        await clock.advance(by: Nanoseconds.second)
        #expect(progress.steps == [])
        process.thaw()
        run(progress, "opened") { () throws(DiskError) in
            while true {
                do throws(DiskError) {
                    _ = try await process.open("/d/f", .createNew)
                    return
                } catch {
                    if error.code != .notFound { throw error }
                }
            }
        }
        await clock.advance(by: Nanoseconds.second)
        #expect(progress.steps.sorted() == ["made", "opened"])
        guard isSlow else { return }
        // What is under way is done, and told after the thaw.
        run(progress, "removed") { () throws(DiskError) in try await process.remove("/d/f") }
        await settle()
        process.freeze()
        await clock.advance(by: Nanoseconds.second)
        #expect(disk.files == [])
        #expect(progress.steps.count == 2)
        process.thaw()
        await settle()
        #expect(progress.steps.last == "removed")
    }

    @Test(arguments: [false, true]) func aProcessDiesAtAnOperation(isDone: Bool) async throws {
        let disk = MemoryDisk()
        let process = disk.process()
        process.end = (operation: 4, isDone: isDone)
        let progress = Progress()
        process.onDeath = { progress.steps.append("dead") }
        run(progress, "over") { () throws(DiskError) in
            let file = try await self.newFile(process)
            try await file.write([self.slice(1, 10)], at: 0, sync: false)
        }
        await settle()
        #expect(progress.steps == ["dead"])
        #expect(disk.content("/d/f")?.count == (isDone ? 10 : 0))
        process.release()
    }

    @Test func concurrentWritesFinishInAnyOrder() async throws {
        var orders: Set<[String]> = []
        for seed in 1...40 as ClosedRange<UInt64> {
            let clock = VirtualClock()
            let disk = slow(clock, seed: seed)
            let progress = Progress()
            run(progress, "made") { () throws(DiskError) in
                let file = try await self.newFile(disk)
                for byte in 1...3 as ClosedRange<UInt8> {
                    self.run(progress, "\(byte)") { () throws(DiskError) in try await file.write([self.slice(byte, 8)], at: 0, sync: false) }
                }
            }
            await clock.advance(by: Nanoseconds.second)
            orders.insert(Array(progress.steps.dropFirst()))
            #expect(progress.steps.count == 4)
            #expect(disk.content("/d/f")?.first.map { "\($0)" } == progress.steps.last)
        }
        #expect(orders.count == 6)
    }

    @Test func aSyncCoversOnlyWhatReturnedBefore() async throws {
        var lost = 0
        for seed in 1...40 as ClosedRange<UInt64> {
            let clock = VirtualClock()
            let disk = slow(clock, seed: seed)
            let progress = Progress()
            run(progress, "made") { () throws(DiskError) in
                let file = try await self.newFile(disk)
                try await file.write([self.slice(1, 8)], at: 0, sync: false)
                self.run(progress, "written") { () throws(DiskError) in try await file.write([self.slice(2, 8)], at: 8, sync: false) }
                self.run(progress, "synced") { () throws(DiskError) in try await file.sync() }
            }
            await clock.advance(by: Nanoseconds.second)
            #expect(progress.steps.count == 3)
            disk.crash()
            #expect(disk.content("/d/f")?.prefix(8) == [UInt8](repeating: 1, count: 8)[...])
            if disk.content("/d/f")?.count == 8 { lost += 1 }
        }
        #expect(lost == 40)
    }

    @Test func timesAreAsSaid() async throws {
        let random = SeededRandom(seed: 3)
        let clock = VirtualClock()
        let disk = MemoryDisk(clock: clock, random: random)
        let fixed = MemoryDiskLatency.Spread(min: 1000, mean: 1000, max: 1000)
        disk.latency = MemoryDiskLatency(
            read: fixed, write: .init(min: 1000, mean: 11_000, max: 50_000), sync: fixed, names: fixed, perPage: 10)
        let progress = Progress()
        run(progress, "made") { () throws(DiskError) in
            let file = try await self.newFile(disk)
            let start = clock.now
            _ = try await file.read(at: 0, count: 8192)
            #expect(clock.now - start == 1020)
            disk.latency?.slowdown = 100
            let slowStart = clock.now
            _ = try await file.read(at: 0, count: 4096)
            #expect(clock.now - slowStart == 101_000)
            disk.latency?.slowdown = 1
            var sum: UInt64 = 0
            for _ in 0..<1000 {
                let start = clock.now
                try await file.write([self.slice(1, 1)], at: 0, sync: false)
                #expect(clock.now - start >= 1010 && clock.now - start <= 50_010)
                sum += clock.now - start
            }
            #expect(sum > 1000 * 9500 && sum < 1000 * 12_500)
        }
        while progress.steps.isEmpty { _ = await clock.advanceToNextTimer() }
        #expect(progress.steps == ["made"])
    }

    /// Some of everything, with what came of each call.
    private func mixture(_ disk: MemoryDisk) async -> [String] {
        var trace: [String] = []
        func note(_ what: String, _ work: @LoopActor () async throws(DiskError) -> String) async {
            do throws(DiskError) { trace.append(what + " " + (try await work())) } catch { trace.append(what + " \(error.code)") }
        }
        await note("mkdir") { () throws(DiskError) in
            try await disk.createDirectory("/d")
            return ""
        }
        for number in 0..<300 {
            let path = "/d/\(number % 7)"
            var file: (any DiskFile)?
            await note("create") { () throws(DiskError) in
                file = try await disk.open(path, .createNew)
                return ""
            }
            await note("open") { () throws(DiskError) in
                file = try await disk.open(path, .existing)
                return ""
            }
            guard let file else { continue }
            let content = slice(UInt8(number % 200 + 1), 6000)
            await note("write") { () throws(DiskError) in
                try await file.write([content], at: UInt64(number % 3) * 4096, sync: false)
                return ""
            }
            await note("sync") { () throws(DiskError) in
                try await file.sync()
                return ""
            }
            await note("read") { () throws(DiskError) in "\(CRC32C.checksum(try await file.read(at: 0, count: 20_000).bytes))" }
            await note("names") { () throws(DiskError) in
                try await disk.rename(path, to: path + "x")
                try await disk.rename(path + "x", to: path)
                if number % 20 == 0 { try await disk.remove(path) }
                try await disk.syncDirectory("/d")
                return try await disk.list("/d").joined(separator: ",")
            }
            if number % 50 == 49 { disk.crash(random: SeededRandom(seed: UInt64(number))) }
        }
        return trace
    }

    @Test func chanceFaultsStrikeAndRepeat() async throws {
        let kinds: [(String, any WritableKeyPath<MemoryDiskFaults, Int> & Sendable, String)] = [
            ("open", \.openErrors, "failed"), ("read", \.readErrors, "failed"), ("write", \.writeErrors, "failed"), ("sync", \.syncErrors, "failed"),
            ("names", \.nameErrors, "failed"), ("write", \.shortWrites, "noSpace"), ("create", \.noSpace, "noSpace"),
        ]
        for (call, kind, code) in kinds {
            var traces: [[String]] = []
            for _ in 0..<2 {
                let disk = MemoryDisk(random: SeededRandom(seed: 8))
                disk.faults[keyPath: kind] = 100_000
                traces.append(await mixture(disk))
            }
            #expect(traces[0] == traces[1])
            let hits = traces[0].filter { $0 == "\(call) \(code)" }.count
            #expect(hits > 10 && hits < 150, "\(call) \(code): \(hits)")
        }
        // Silent ones: every call goes well, and content differs.
        let clean = await mixture(MemoryDisk(random: SeededRandom(seed: 8)))
        for kind in [\MemoryDiskFaults.misdirectedWrites, \.rot, \.lostSyncs] as [any WritableKeyPath<MemoryDiskFaults, Int> & Sendable] {
            let disk = MemoryDisk(random: SeededRandom(seed: 8))
            disk.faults[keyPath: kind] = 200_000
            let trace = await mixture(disk)
            #expect(trace.map { $0.prefix(3) } == clean.map { $0.prefix(3) })
            #expect(trace != clean)
        }
    }

    @Test func damageStrikesWhereTold() async throws {
        let disk = MemoryDisk()
        let file = try await newFile(disk)
        try await file.write([slice(0, 20_000)], at: 0, sync: true)
        let other = try await disk.open("/d/other", .createNew)
        try await other.write([slice(0, 20_000)], at: 0, sync: true)
        try await disk.syncDirectory("/d")
        let flips = disk.rot(bits: 5, random: SeededRandom(seed: 4)) { $0.hasSuffix("other") }
        #expect(flips.count == 5 && flips.allSatisfy { $0.path == "/d/other" })
        #expect(disk.content("/d/other")?.reduce(0) { $0 + $1.nonzeroBitCount } == 5)
        #expect(disk.content("/d/f") == [UInt8](repeating: 0, count: 20_000))
        disk.crash()
        #expect(disk.content("/d/other")?.reduce(0) { $0 + $1.nonzeroBitCount } == 5)
        let again = try await disk.open("/d/f", .existing)
        disk.misdirectNextWrite(matching: { $0 == "/d/f" }, to: ("/d/other", 4096))
        try await again.write([slice(9, 4096)], at: 20_000, sync: true)
        // The length is as if it had been written; the bytes are elsewhere.
        #expect(disk.content("/d/f") == [UInt8](repeating: 0, count: 24_096))
        #expect(disk.content("/d/other")?[4096..<8192].allSatisfy { $0 == 9 } == true)
        #expect(disk.content("/d/other")?.count == 20_000)
        try await again.write([slice(9, 4096)], at: 0, sync: true)
        #expect(disk.content("/d/f")?.first == 9)
    }
}
