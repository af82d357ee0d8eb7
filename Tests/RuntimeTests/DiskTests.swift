import Bytes
import Runtime
import TestSupport
import Testing

@Suite @LoopActor struct DiskTests {
    private func disk() -> SystemDisk { SystemDisk(threads: WorkerThreads(count: 2, name: "disk")) }

    @Test func filesRoundTrip() async throws {
        let directory = try TemporaryDirectory()
        let disk = disk()
        let nested = directory.file("a/b/c")
        try await disk.createDirectory(nested)
        try await disk.createDirectory(nested)
        let path = nested + "/file"
        let file = try await disk.open(path, .createNew)
        // More parts than one system call takes, with empty ones among them.
        let parts = (0..<2500).map { pattern($0 % 7, seed: UInt8($0 & 0x7F)) }
        try await file.write(parts, at: 3, sync: true)
        let expected = [0, 0, 0] + parts.flatMap(\.array)
        #expect(try await file.length() == UInt64(expected.count))
        let whole = try await file.read(at: 0, count: 1 << 20)
        let same = Array(whole.bytes) == expected
        #expect(same)
        #expect(Array(try await file.read(at: 5, count: 10).bytes) == Array(expected[5..<15]))
        #expect(try await file.read(at: 1 << 40, count: 10).count == 0)
        #expect(try await file.read(at: 0, count: 0).count == 0)
        try await file.truncate(to: 4)
        try await file.allocate(offset: 0, length: 8192)
        #expect(try await file.length() == 8192)
        try await file.sync()
        try await disk.rename(path, to: nested + "/other")
        try await disk.syncDirectory(nested)
        #expect(try await disk.list(nested) == ["other"])
        let again = try await disk.open(nested + "/other", .existing)
        #expect(try await again.length() == 8192)
        #expect(try await disk.space(at: nested).total > 0)
        try await disk.remove(nested + "/other")
        try await disk.remove(nested)
        #expect(try await disk.list(directory.file("a/b")) == [])
    }

    @Test func errorsAreMapped() async throws {
        let directory = try TemporaryDirectory()
        let disk = disk()
        func code(_ body: () async throws(DiskError) -> Void) async -> DiskError.Code? {
            do throws(DiskError) {
                try await body()
                return nil
            } catch {
                return error.code
            }
        }
        let path = directory.file("file")
        #expect(await code { () throws(DiskError) in _ = try await disk.open(path, .existing) } == .notFound)
        _ = try await disk.open(path, .createNew)
        #expect(await code { () throws(DiskError) in _ = try await disk.open(path, .createNew) } == .exists)
        #expect(await code { () throws(DiskError) in try await disk.createDirectory(path) } == .exists)
        #expect(await code { () throws(DiskError) in try await disk.createDirectory(path + "/below") } == .failed)
        #expect(await code { () throws(DiskError) in try await disk.rename(path + "x", to: path) } == .notFound)
        #expect(await code { () throws(DiskError) in _ = try await disk.list(path) } == .failed)
        let full = try await disk.open("/dev/full", .existing)
        #expect(await code { () throws(DiskError) in try await full.write([pattern(10)], at: 0, sync: false) } == .noSpace)
    }

    @Test func workersComeBackToTheLoop() async {
        let workers = WorkerThreads(count: 2, name: "worker")
        let results = (0..<100).map { number in Task { @LoopActor in (await workers.run { EventLoop.shared.isCurrent ? -1 : number }, EventLoop.shared.isCurrent) } }
        for (number, task) in results.enumerated() {
            let (value, onLoop) = await task.value
            #expect(value == number)
            #expect(onLoop)
        }
    }

    @Test func timersFireInOrder() async {
        let clock = SystemClock.shared
        var order: [Int] = []
        let gate = Gate()
        _ = clock.schedule(after: 3 * Nanoseconds.millisecond) {
            order.append(3)
            gate.open()
        }
        _ = clock.schedule(after: Nanoseconds.millisecond) { order.append(1) }
        let taken = clock.schedule(after: 2 * Nanoseconds.millisecond) { order.append(2) }
        taken.cancel()
        let start = clock.now
        await gate.wait()
        #expect(order == [1, 3])
        #expect(clock.now - start >= 2 * Nanoseconds.millisecond)
    }

    @Test func heapKeepsOrderUnderCancels() {
        let heap = TimerHeap()
        let random = SeededRandom(seed: 5)
        for _ in 0..<50 {
            var expected: [(UInt64, Int)] = []
            var fired: [Int] = []
            var entries: [TimerHeap.Entry] = []
            for number in 0..<100 {
                let deadline = UInt64(random.below(20))
                entries.append(heap.insert(deadline: deadline) { fired.append(number) })
                expected.append((deadline, number))
            }
            for _ in 0..<40 {
                let victim = random.below(100)
                entries[victim].cancel()
                expected.removeAll { $0.1 == victim }
            }
            while let body = heap.takeDue(at: 100) { body() }
            #expect(fired == expected.sorted { $0.0 != $1.0 ? $0.0 < $1.0 : $0.1 < $1.1 }.map(\.1))
            #expect(heap.earliest == nil)
        }
    }

    @Test func crashForgetsWhatWasNotSynced() async throws {
        let disk = MemoryDisk()
        try await disk.createDirectory("/d")
        let kept = try await disk.open("/d/kept", .createNew)
        try await disk.syncDirectory("/d")
        try await kept.write([pattern(10)], at: 0, sync: true)
        try await kept.write([pattern(10, seed: 9)], at: 10, sync: false)
        let nameless = try await disk.open("/d/nameless", .createNew)
        try await nameless.write([pattern(5)], at: 0, sync: true)
        disk.crash()
        #expect(disk.files == ["/d/kept"])
        #expect(disk.content("/d/kept") == pattern(10).array)
        await #expect(throws: DiskError.self) { try await kept.read(at: 0, count: 1) }
    }

    @Test func faultsStrikeWhereTold() async throws {
        for number in 1...6 {
            let disk = MemoryDisk()
            disk.failingOperation = (number, .noSpace)
            var failed = false
            do throws(DiskError) {
                try await disk.createDirectory("/d")
                let file = try await disk.open("/d/f", .createNew)
                try await disk.syncDirectory("/d")
                try await file.write([pattern(8)], at: 0, sync: false)
                try await file.sync()
            } catch {
                #expect(error.code == .noSpace)
                failed = true
            }
            #expect(failed == (number <= 5))
            // A failed sync never made anything durable.
            if number == 5 {
                disk.crash()
                #expect(disk.content("/d/f") == [])
            }
        }
    }
}
