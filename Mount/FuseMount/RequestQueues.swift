import CFuse
import CPosix
import Glibc
import Runtime
import Synchronization
import Telemetry

/// FUSE over io_uring (Linux 6.14, Documentation/filesystems/fuse/fuse-io-uring.rst): for each processor a queue, served by a thread that stays on that
/// processor. A request and its answer so need no other processor to be woken, which is most of what a round trip costs otherwise.
///
/// The kernel sends FORGET and INTERRUPT, and takes notifications, by way of the device all the same. Once it has agreed at INIT to the queues it keeps
/// requests back until all of them have a place for one.
final class RequestQueues: Sendable {
    /// Linux 6.18: the oldest one this was tried with.
    static let protocolMinor: UInt32 = 45
    private static let parameter = "/sys/module/fuse/parameters/enable_uring"
    private static let interruptOpcode: UInt32 = 36
    private static let interruptBytes = 48
    private static let answerHeaderBytes = 16
    /// Interrupts that are kept for requests which were not seen yet. Of most of them the request was answered a moment ago.
    private static let interruptsMax = 64

    private struct State {
        var queues: [RequestQueue] = []
        var handle: (@Sendable (UnsafeMutableRawBufferPointer) -> Void)?
    }

    private struct Requests {
        var slots: [UInt64: RequestSlot] = [:]
        var interrupted: [UInt64] = []
    }

    private let log: Log
    private let state = Mutex(State())
    private let requests = Mutex(Requests())

    init(log: Log) { self.log = log }

    // MARK: Beginning and end

    /// Makes a queue for each processor. Before the filesystem is mounted; blocks. False, and nothing is left, if there is no such way to the kernel.
    func open() -> Bool {
        guard Self.isAllowed(), let (present, possible) = Self.processors() else { return false }
        let canStepAside = Self.canStepAside()
        var queues: [RequestQueue] = []
        for (place, processor) in present.enumerated() {
            // Processors that may come later.
            let others = possible.filter { !present.contains($0) && $0 % present.count == place }
            queues.append(RequestQueue(self, processor: processor, kernelQueues: ([processor] + others).map(UInt16.init), canStepAside: canStepAside, log: log))
        }
        let codes = Channel(queues.count)
        for queue in queues { queue.start(self) { codes.add($0) } }
        state.withLock { [queues] in $0.queues = queues }
        let failed = codes.wait()
        guard failed == 0 else {
            log.info("requests are read from the device: no io_uring", ["error": MountPoint.text(failed)])
            close()
            return false
        }
        return true
    }

    /// The kernel has agreed.
    func serve(_ service: RequestQueue.Service) {
        let queues = state.withLock {
            $0.handle = service.handle
            return $0.queues
        }
        for queue in queues { queue.serve(service) }
    }

    /// Nothing new is begun; the threads end when what was begun is answered. Harmless if it was called before.
    func close() {
        let queues = state.withLock {
            let queues = $0.queues
            $0.queues = []
            $0.handle = nil
            return queues
        }
        for queue in queues { queue.close() }
    }

    /// Whether a thread may step aside and come back, which needs CAP_SYS_NICE. Found out by one of which it does not matter. Blocks.
    private static func canStepAside() -> Bool {
        let codes = Channel(1)
        let code = SystemThread.start("fuse queue test") { codes.add(CPosix_step_back() == 0 && CPosix_step_aside() == 0 && CPosix_step_back() == 0 ? 0 : EPERM) }
        return code == 0 && codes.wait() == 0
    }

    /// Whether the kernel offers it; where it may be switched on by us, it is. Another filesystem gets it only if it asks for it.
    private static func isAllowed() -> Bool {
        guard let value = MountPoint.contents(of: parameter) else { return false }
        if value.hasPrefix("Y") { return true }
        let descriptor = Glibc.open(parameter, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { Glibc.close(descriptor) }
        return write(descriptor, "Y", 1) == 1
    }

    /// Numbers of the processors that run, and of those that could.
    private static func processors() -> (present: [Int], possible: [Int])? {
        let directory = "/sys/devices/system/cpu/"
        guard let present = MountPoint.contents(of: directory + "online").flatMap(Self.numbers),
            let possible = MountPoint.contents(of: directory + "possible").flatMap(Self.numbers), !present.isEmpty
        else { return nil }
        return (present, possible)
    }

    /// What a list such as "0-3,8" means (cpuset(7), "List format"); nil if it is none.
    static func numbers(_ list: String) -> [Int]? {
        var result: [Int] = []
        for part in list.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else { return nil }
            result.append(contentsOf: Int(first)...Int(last))
        }
        return result
    }

    // MARK: Requests

    /// A request has come. Whether it was interrupted before it was seen.
    func began(_ number: UInt64, _ slot: RequestSlot) -> Bool {
        requests.withLock {
            $0.slots[number] = slot
            guard !$0.interrupted.isEmpty, let place = $0.interrupted.firstIndex(of: number) else { return false }
            $0.interrupted.remove(at: place)
            return true
        }
    }

    /// Gives an answer to the request that it is for. Any thread.
    /// - Returns: its size in bytes; nil if it is for none of these requests.
    func answer(_ parts: UnsafeBufferPointer<iovec>) -> Int? {
        guard let header = parts.first?.iov_base, parts[0].iov_len == Self.answerHeaderBytes else { return nil }
        let number = header.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        guard let slot = requests.withLock({ $0.slots.removeValue(forKey: number) }) else {
            return number & 1 == 1 && missed(number & ~1, header.loadUnaligned(fromByteOffset: 4, as: Int32.self)) ? Self.answerHeaderBytes : nil
        }
        slot.fill(parts)
        slot.queue.send(slot)
        return parts.reduce(0) { $0 + $1.iov_len }
    }

    /// Answers with EIO.
    func refuse(_ number: UInt64) {
        guard let slot = requests.withLock({ $0.slots.removeValue(forKey: number) }) else { return }
        slot.fail(EIO)
        slot.queue.send(slot)
    }

    /// Libfuse has found no request for an interrupt. The kernel, which asks again if it is told so through the device, knows nothing of that here.
    private func missed(_ number: UInt64, _ error: Int32) -> Bool {
        guard error == -EAGAIN else { return false }
        let isKnown = requests.withLock {
            if $0.slots[number] != nil { return true }
            if $0.interrupted.count == Self.interruptsMax { $0.interrupted.removeFirst() }
            $0.interrupted.append(number)
            return false
        }
        if isKnown { interrupt(number) }
        return true
    }

    /// Tells libfuse of an interrupt.
    func interrupt(_ number: UInt64) {
        guard let handle = state.withLock({ $0.handle }) else { return }
        withUnsafeTemporaryAllocation(byteCount: Self.interruptBytes, alignment: 8) { request in
            request.initializeMemory(as: UInt8.self, repeating: 0)
            request.storeBytes(of: UInt32(Self.interruptBytes), as: UInt32.self)
            request.storeBytes(of: Self.interruptOpcode, toByteOffset: 4, as: UInt32.self)
            request.storeBytes(of: number | 1, toByteOffset: 8, as: UInt64.self)
            request.storeBytes(of: number, toByteOffset: 40, as: UInt64.self)
            handle(request)
        }
    }

    /// Where as many threads as there are leave a number.
    private final class Channel: Sendable {
        private let codes = Mutex<[Int32]>([])
        private let count: Int
        private let semaphore = Semaphore()

        init(_ count: Int) { self.count = count }

        func add(_ code: Int32) {
            codes.withLock { $0.append(code) }
            semaphore.signal()
        }

        /// The first that is not 0, or 0. Blocks.
        func wait() -> Int32 {
            for _ in 0..<count { semaphore.wait() }
            return codes.withLock { $0.first { $0 != 0 } } ?? 0
        }
    }
}
