import Bytes
package import Runtime

/// A `MemoryDisk` as one life of a process has it.
///
/// When that life ends, by `kill` or by the disk's `crash`, calls under way and later ones never return: nothing of a dead process runs on. What it
/// wrote stays, as in the kernel's cache, until power is lost.
@LoopActor
package final class MemoryDiskProcess: Disk {
    /// What calls of a dead process see.
    enum Fate {
        case silence
        case failure
    }

    private enum Life {
        case running
        case frozen
        /// Calls hang.
        case silent
        /// Calls fail.
        case failing
    }

    let disk: MemoryDisk
    /// Operations of this process so far, those included that failed.
    package private(set) var operations = 0
    /// The process dies at its operation with this number: before it takes effect, or after it and before the answer arrives.
    package var end: (operation: Int, isDone: Bool)?
    /// Called when the process dies.
    package var onDeath: (@LoopActor () -> Void)?
    private let fate: Fate
    private var life = Life.running
    /// Calls that wait until the process runs on, in their order.
    private var parked: [UnsafeContinuation<Void, Never>] = []
    /// Operations that the disk is at, by the order in which they began.
    private var flights: [UInt64: Flight] = [:]
    private var flightsBegun: UInt64 = 0

    /// An operation between its call and its answer.
    @LoopActor private final class Flight {
        /// Does it; taken when it is done.
        var effect: (@LoopActor () -> Void)?
        /// Tells the caller the result.
        let answer: @LoopActor () -> Void
        let fail: @LoopActor (DiskError) -> Void

        init(effect: @escaping @LoopActor () -> Void, answer: @escaping @LoopActor () -> Void, fail: @escaping @LoopActor (DiskError) -> Void) {
            self.effect = effect
            self.answer = answer
            self.fail = fail
        }

        func perform() {
            let work = effect
            effect = nil
            work?()
        }
    }

    init(disk: MemoryDisk, fate: Fate) {
        self.disk = disk
        self.fate = fate
    }

    package var isAlive: Bool { life == .running || life == .frozen }

    /// Ends the process, as kill(2) with SIGKILL does. Un-synced content stays.
    /// - Parameter random: lets operations under way take effect or not; without it none does.
    package func kill(random: SeededRandom? = nil) {
        guard isAlive else { return }
        end(random: random)
        disk.forget(self)
    }

    /// Nothing is answered until `thaw`, as between SIGSTOP and SIGCONT. What is under way takes effect.
    package func freeze() { if life == .running { life = .frozen } }

    package func thaw() {
        guard life == .frozen else { return }
        life = .running
        for number in flights.keys.sorted() { if let flight = flights[number], flight.effect == nil { answer(number) } }
        resumeParked()
    }

    /// Lets the calls that hang since the death of the process fail, and later ones, so that their tasks end and free what they hold. For a simulator that
    /// is done with a run.
    package func release() {
        guard life == .silent else { return }
        life = .failing
        for number in flights.keys.sorted() { flights.removeValue(forKey: number)?.fail(Self.dead) }
        resumeParked()
    }

    func end(random: SeededRandom?) {
        guard isAlive else { return }
        if let random {
            for number in flights.keys.sorted() where random.below(2) == 0 { flights[number]?.perform() }
        }
        die()
        if fate == .failure { release() }
    }

    private func die() {
        life = .silent
        let tell = onDeath
        onDeath = nil
        tell?()
    }

    private static let dead = DiskError(.failed, errno: 5, "the process that opened this is dead")

    private func resumeParked() {
        let waiting = parked
        parked = []
        for continuation in waiting { continuation.resume() }
    }

    private func answer(_ number: UInt64) { flights.removeValue(forKey: number)?.answer() }

    /// Waits while the process is frozen or silent.
    private func live() async throws(DiskError) {
        while true {
            switch life {
            case .running: return
            case .failing: throw Self.dead
            case .frozen, .silent: await withUnsafeContinuation { parked.append($0) }
            }
        }
    }

    /// Does one operation: after its time, or in the loop's next turn if the disk has no latency.
    func perform<Value: Sendable>(
        _ operation: MemoryDisk.Operation, bytes: Int = 0, _ body: @escaping @LoopActor () throws(DiskError) -> Value
    ) async throws(DiskError) -> Value {
        let effect = { @LoopActor () -> Result<Value, DiskError> in self.counted(body) }
        guard let (clock, nanoseconds) = disk.delay(operation, bytes: bytes) else {
            await Task.yield()
            try await live()
            let result = effect()
            // It may have been the last thing that the process did.
            try await live()
            return try result.get()
        }
        try await live()
        return try await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<Value, DiskError>, Never>) in
            var result = Result<Value, DiskError>.failure(Self.dead)
            let number = flightsBegun
            flightsBegun += 1
            flights[number] = Flight(
                effect: { result = effect() }, answer: { continuation.resume(returning: result) },
                fail: { continuation.resume(returning: .failure($0)) })
            _ = clock.schedule(after: nanoseconds) { [weak self] in self?.complete(number) }
        }.get()
    }

    private func complete(_ number: UInt64) {
        guard isAlive, let flight = flights[number] else { return }
        flight.perform()
        if life == .running { answer(number) }
    }

    private func counted<Value: Sendable>(_ body: @LoopActor () throws(DiskError) -> Value) -> Result<Value, DiskError> {
        operations += 1
        let isLast = end.map { $0.operation == operations } ?? false
        if isLast, end?.isDone == false {
            dieHere()
            return .failure(Self.dead)
        }
        let result: Result<Value, DiskError>
        do throws(DiskError) { result = .success(try body()) } catch { result = .failure(error) }
        if isLast { dieHere() }
        return result
    }

    private func dieHere() {
        die()
        disk.forget(self)
    }

    private func check(_ operation: MemoryDisk.Operation, _ path: String) throws(DiskError) {
        if let code = disk.faultCode(operation, path) { throw MemoryDisk.injected(code, operation, path) }
    }

    // MARK: Disk

    package func open(_ path: String, _ mode: DiskOpenMode) async throws(DiskError) -> any DiskFile {
        let content = try await perform(.open) { () throws(DiskError) in
            try self.check(.open, path)
            return try self.disk.openNow(path, mode)
        }
        return MemoryFile(process: self, path: path, content: content)
    }

    package func createDirectory(_ path: String) async throws(DiskError) {
        try await perform(.createDirectory) { () throws(DiskError) in
            try self.check(.createDirectory, path)
            try self.disk.createDirectoryNow(path)
        }
    }

    package func list(_ path: String) async throws(DiskError) -> [String] {
        try await perform(.list) { () throws(DiskError) in
            try self.check(.list, path)
            return try self.disk.directory(path).entries.keys.sorted()
        }
    }

    package func rename(_ from: String, to: String) async throws(DiskError) {
        try await perform(.rename) { () throws(DiskError) in
            try self.check(.rename, from)
            try self.disk.renameNow(from, to: to)
        }
    }

    package func remove(_ path: String) async throws(DiskError) {
        try await perform(.remove) { () throws(DiskError) in
            try self.check(.remove, path)
            try self.disk.removeNow(path)
        }
    }

    package func syncDirectory(_ path: String) async throws(DiskError) {
        try await perform(.syncDirectory) { () throws(DiskError) in
            try self.check(.syncDirectory, path)
            let directory = try self.disk.directory(path)
            if !self.disk.strikes(self.disk.faults.lostSyncs) { self.disk.syncNames(of: directory) }
        }
    }

    package func space(at path: String) async throws(DiskError) -> DiskSpace {
        try await perform(.space) { () throws(DiskError) in
            try self.check(.space, path)
            let used = UInt64(self.disk.usedBytes)
            let capacity = self.disk.capacity
            return DiskSpace(total: capacity, available: capacity > used ? capacity - used : 0)
        }
    }
}
