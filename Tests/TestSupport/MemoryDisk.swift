import Bytes
package import Runtime

/// A disk in memory that forgets at a crash what was not synced, fails when it is told to, and takes its time if it is given a clock.
///
/// Content is durable after a sync of the file, names after a sync of their directory, as POSIX has it and no better.
///
/// Used as a `Disk` itself it serves one process after another: `crash` ends the present one, whose files then fail. A simulator takes a
/// `process()` for each life of a machine's program instead.
@LoopActor
package final class MemoryDisk: Disk {
    /// What is being done when a fault is asked for.
    package enum Operation: Sendable, CaseIterable {
        case open, createDirectory, list, rename, remove, syncDirectory, space, length, read, write, sync, allocate, truncate
    }

    /// Asked before each operation: a code makes it fail. A failed write leaves half of its bytes; a failed sync makes sure that what was to
    /// be synced is lost at a crash.
    package var fault: (@LoopActor (_ operation: Operation, _ path: String) -> DiskError.Code?)?
    /// Fails the operation with this number (see `operations`), once.
    package var failingOperation: (number: Int, code: DiskError.Code)?
    /// Leaves so many bytes of the next failing write in place of half.
    package var failingWriteKeeps: Int?
    /// Faults by chance; needs `random`.
    package var faults = MemoryDiskFaults()
    /// Without one, operations are done in the loop's next turn.
    package var latency: MemoryDiskLatency?
    /// Operations so far.
    package private(set) var operations = 0
    /// Bytes that all files together may have.
    package var capacity: UInt64
    /// For chance faults and latency.
    package let random: SeededRandom?
    let clock: (any Clock)?
    let usage = MemoryUsage()
    var root = MemoryDirectory()
    /// Changes of names since the last sync of their directories, in order.
    var unsyncedNames: [NameChange] = []
    var misdirection: Misdirection?
    private var processes: [MemoryDiskProcess] = []
    /// Serves those who use the disk directly.
    private var own: MemoryDiskProcess?

    /// - Parameters:
    ///   - clock: needed for a latency.
    ///   - random: needed for a latency and for faults by chance. The disk draws from it in the order of operations.
    package init(capacity: UInt64 = 1 << 40, clock: (any Clock)? = nil, random: SeededRandom? = nil) {
        self.capacity = capacity
        self.clock = clock
        self.random = random
    }

    /// The disk as one life of a process has it.
    package func process() -> MemoryDiskProcess {
        let process = MemoryDiskProcess(disk: self, fate: .silence)
        processes.append(process)
        return process
    }

    /// What power loss does: all processes are dead, and un-synced content and names are gone.
    /// - Parameter random: lets operations under way take effect or not, each un-synced change of a page or a length survive or not, a page be torn,
    ///   and a prefix or another possible subset of the changes of names survive; without it none does.
    package func crash(random: SeededRandom? = nil) {
        for process in processes { process.end(random: random) }
        processes.removeAll()
        own?.end(random: random)
        own = nil
        loseNames(random: random)
        root.forgetUnsynced()
        for file in root.files(under: "") { file.content.crash(random: random) }
        recount()
    }

    func forget(_ process: MemoryDiskProcess) { processes.removeAll { $0 === process } }

    /// Which files have names, and so what is used.
    func recount() {
        usage.bytes = 0
        for file in root.files(under: "") { file.content.countAgain() }
    }

    // MARK: Disk

    private var direct: MemoryDiskProcess {
        if let own { return own }
        let process = MemoryDiskProcess(disk: self, fate: .failure)
        own = process
        return process
    }

    package func open(_ path: String, _ mode: DiskOpenMode) async throws(DiskError) -> any DiskFile { try await direct.open(path, mode) }
    package func createDirectory(_ path: String) async throws(DiskError) { try await direct.createDirectory(path) }
    package func list(_ path: String) async throws(DiskError) -> [String] { try await direct.list(path) }
    package func rename(_ from: String, to: String) async throws(DiskError) { try await direct.rename(from, to: to) }
    package func remove(_ path: String) async throws(DiskError) { try await direct.remove(path) }
    package func syncDirectory(_ path: String) async throws(DiskError) { try await direct.syncDirectory(path) }
    package func space(at path: String) async throws(DiskError) -> DiskSpace { try await direct.space(at: path) }

    // MARK: Faults and room

    /// Counts an operation and says how it is to fail.
    func faultCode(_ operation: Operation, _ path: String) -> DiskError.Code? {
        operations += 1
        if let (number, code) = failingOperation, number == operations {
            failingOperation = nil
            return code
        }
        if let code = fault?(operation, path) { return code }
        switch operation {
        case .open: return strikes(faults.openErrors) ? .failed : strikes(faults.noSpace) ? .noSpace : nil
        case .read: return strikes(faults.readErrors) ? .failed : nil
        case .write: return strikes(faults.writeErrors) ? .failed : strikes(faults.shortWrites) ? .noSpace : nil
        case .sync: return strikes(faults.syncErrors) ? .failed : nil
        case .allocate: return strikes(faults.noSpace) ? .noSpace : nil
        case .list, .rename, .remove, .syncDirectory: return strikes(faults.nameErrors) ? .failed : nil
        case .createDirectory, .space, .length, .truncate: return nil
        }
    }

    /// Whether a fault of so many parts per million happens now.
    func strikes(_ parts: Int) -> Bool {
        guard parts > 0, let random else { return false }
        return random.below(1_000_000) < parts
    }

    static func injected(_ code: DiskError.Code, _ operation: Operation, _ path: String) -> DiskError {
        DiskError(code, errno: code == .noSpace ? 28 : 5, "\(operation) \(path): injected fault")
    }

    /// How many bytes of a failing write of `count` are written.
    func takeKeptBytes(of count: Int) -> Int {
        if let kept = failingWriteKeeps {
            failingWriteKeeps = nil
            return kept
        }
        return random.map { $0.below(count + 1) } ?? count / 2
    }

    /// Whether all files may grow by so much.
    func hasRoom(for growth: Int) -> Bool { growth <= 0 || UInt64(usage.bytes + growth) <= capacity }

    /// How long an operation takes; nil if it is to be done at once.
    func delay(_ operation: Operation, bytes: Int) -> (clock: any Clock, nanoseconds: UInt64)? {
        guard let latency, let clock, let random else { return nil }
        return (clock, latency.draw(operation, bytes: bytes, random))
    }
}
