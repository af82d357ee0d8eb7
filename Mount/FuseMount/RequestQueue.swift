import Bytes
import CFuse
import CPosix
import Glibc
import Runtime
import Synchronization
import Telemetry

/// A thread that takes in the requests which programs on one processor make, through a ring of its own, and answers them.
///
/// Sendable without checking: what several threads use is behind `lock`; the rest belongs to the thread.
final class RequestQueue: @unchecked Sendable {
    /// What a queue serves once the kernel has agreed to it.
    struct Service: Sendable {
        /// The session's device. Open until the thread has ended.
        var device: Int32
        /// At least what the kernel asks for: its largest request or answer, without headers.
        var payloadBytes: Int
        /// Has a request carried out, which is answered through `RequestQueues.answer` at some time. On the thread.
        var handle: @Sendable (UnsafeMutableRawBufferPointer) -> Void
        /// Called if the kernel refuses: it then keeps all requests back.
        var fail: @Sendable () -> Void
    }

    /// Slots to begin with, and how many there are always to be free: a request that waits for a lock holds its own for as long, and what the kernel had to keep
    /// back it gives us only when another one is answered, not when there is room.
    private static let slotsAtFirst = 64
    private static let freeMin = 32
    /// Completions that fit into the ring: a slot has one at most.
    private static let slotsMax = 16_000
    private static let completions: UInt32 = 16_384
    private static let entries: UInt32 = 256
    private static let wakeTag = UInt64.max

    private let processor: Int
    private let canStepAside: Bool
    /// The kernel has one for each processor that there could be.
    private let kernelQueues: [UInt16]
    private unowned let queues: RequestQueues
    private let log: Log

    private let lock = Lock()
    private var service: Service?
    private var answered: [RequestSlot] = []
    private var isClosing = false
    private var isAsleep = false
    private var event: Int32 = -1
    /// pthread_t of the thread, 0 while there is none.
    private let thread = Atomic<UInt>(0)

    // The thread's
    private let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
    private let eventValue = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    private var serving: Service?
    private var slots: [RequestSlot?] = []
    /// Free slots of each of the kernel's queues, by its number.
    private var free: [Int]
    private var unanswered = 0
    /// Answers were queued that the kernel does not have yet.
    private var hasAnswers = false
    private var steppingAside = SteppingAside()

    init(_ queues: RequestQueues, processor: Int, kernelQueues: [UInt16], canStepAside: Bool, log: Log) {
        self.queues = queues
        self.processor = processor
        self.canStepAside = canStepAside
        self.kernelQueues = kernelQueues
        self.log = log
        free = [Int](repeating: 0, count: 1 + Int(kernelQueues.max() ?? 0))
    }

    deinit {
        ring.deallocate()
        eventValue.deallocate()
        if event >= 0 { Glibc.close(event) }
    }

    // MARK: Any thread

    /// Starts the thread, which holds the queue and `owner` until it ends. `ready` is called with the system's error number once, on it.
    func start(_ owner: RequestQueues, _ ready: @escaping @Sendable (Int32) -> Void) {
        event = CFuse_uring_event()
        let code = event < 0 ? errno : SystemThread.start("fuse queue \(processor)") { [self] in withExtendedLifetime(owner) { run(ready) } }
        if code != 0 { ready(code) }
    }

    func serve(_ service: Service) {
        lock.withLock { self.service = service }
        wake()
    }

    /// The thread ends when its last request is answered.
    func close() {
        lock.withLock { isClosing = true }
        wake()
    }

    /// A slot's answer is complete.
    func send(_ slot: RequestSlot) {
        if thread.load(ordering: .relaxed) == pthread_self() {
            commit(slot)
            // Whoever waits for it need not wait for what this thread goes on with.
            if !canStepAside {
                submit()
            } else if EventLoop.shared.hasQueuedJobs {
                steppingAside.isBusy()
                submit()
            }
            return
        }
        let mustWake = lock.withLock {
            answered.append(slot)
            defer { isAsleep = false }
            return isAsleep
        }
        if mustWake { wake() }
    }

    private func wake() {
        var one: UInt64 = 1
        _ = write(event, &one, 8)
    }

    // MARK: The thread

    private func run(_ ready: (Int32) -> Void) {
        thread.store(pthread_self(), ordering: .relaxed)
        // Where the kernel's request, its answer and the program are on one processor, none has to be woken. Not vital.
        CPosix_run_on(CInt(processor))
        if canStepAside { CPosix_step_back() }
        let code = CFuse_uring_open(ring, Self.entries, Self.completions)
        ready(-code)
        guard code == 0 else { return }
        _ = CFuse_uring_read_event(ring, event, eventValue, Self.wakeTag)
        while prepare() {
            if hasAnswers, canStepAside, io_uring_cq_ready(ring) == 0, steppingAside.isDue() { submitAside() }
            let code = io_uring_submit_and_wait(ring, 1)
            hasAnswers = false
            if code < 0, code != -EINTR, code != -EAGAIN, code != -EBUSY {
                log.error("requests of the kernel cannot be read", ["error": MountPoint.text(-code)])
                serving?.fail()
                break
            }
            var tag: UInt64 = 0
            var result: Int32 = 0
            while CFuse_uring_take(ring, &tag, &result) != 0 {
                if hasAnswers { submit() }
                completed(tag, result)
            }
        }
        thread.store(0, ordering: .relaxed)
        io_uring_queue_exit(ring)
        slots = []
        serving = nil
    }

    private func submit() {
        hasAnswers = false
        io_uring_submit(ring)
    }

    /// Gives the kernel answers while this thread does not count as busy: whoever is woken by them stays on this processor and goes on at once.
    private func submitAside() {
        let start = Self.now
        let isAside = CPosix_step_aside() == 0
        submit()
        guard isAside else { return }
        CPosix_step_back()
        steppingAside.took(Self.now - start)
    }

    /// Nanoseconds of CLOCK_MONOTONIC.
    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Takes in what other threads have left. Whether to go on.
    private func prepare() -> Bool {
        let (answers, service, isClosing) = lock.withLock {
            let answers = answered
            if !answers.isEmpty { answered.removeAll(keepingCapacity: true) }
            isAsleep = true
            return (answers, self.service, self.isClosing)
        }
        for slot in answers { commit(slot) }
        if serving == nil, let service {
            serving = service
            // The kernel wants one for each processor. The others do not run yet; more come with the requests.
            for queue in kernelQueues { addSlot(queue) }
            for _ in 1..<Self.slotsAtFirst { addSlot(kernelQueues[0]) }
        }
        return !isClosing || unanswered > 0
    }

    private func completed(_ tag: UInt64, _ result: Int32) {
        guard tag != Self.wakeTag else {
            _ = CFuse_uring_read_event(ring, event, eventValue, Self.wakeTag)
            return
        }
        guard let slot = slots[Int(tag)], let serving else { return }
        free[Int(slot.kernelQueue)] -= 1
        guard result >= 0 else {
            slots[Int(tag)] = nil
            // As when it is unmounted.
            guard result != -ENOTCONN, result != -ECONNABORTED, result != -ECANCELED else { return }
            log.error("the kernel refused a place for requests", ["queue": "\(slot.kernelQueue)", "error": MountPoint.text(-result)])
            failIfNone(slot.kernelQueue)
            return
        }
        unanswered += 1
        if free[Int(slot.kernelQueue)] < Self.freeMin, slots.count < Self.slotsMax { addSlot(slot.kernelQueue) }
        let number = slot.number
        let isInterrupted = queues.began(number, slot)
        guard let request = slot.request() else {
            log.error("a request of the kernel makes no sense", ["number": "\(number)"])
            queues.refuse(number)
            return
        }
        serving.handle(request)
        if isInterrupted { queues.interrupt(number) }
    }

    private func addSlot(_ kernelQueue: UInt16) {
        guard let serving, let slot = RequestSlot(self, kernelQueue: kernelQueue, index: slots.count, payloadBytes: serving.payloadBytes) else {
            log.error("no memory for another request of the kernel")
            failIfNone(kernelQueue)
            return
        }
        slots.append(slot)
        free[Int(kernelQueue)] += 1
        _ = CFuse_uring_command(ring, serving.device, CFuse_uring_register, kernelQueue, 0, slot.parts, UInt64(slot.index))
    }

    private func failIfNone(_ kernelQueue: UInt16) {
        if !slots.contains(where: { $0?.kernelQueue == kernelQueue }) { serving?.fail() }
    }

    private func commit(_ slot: RequestSlot) {
        guard let serving else { return }
        unanswered -= 1
        hasAnswers = true
        free[Int(slot.kernelQueue)] += 1
        _ = CFuse_uring_command(ring, serving.device, CFuse_uring_commit, slot.kernelQueue, slot.number, nil, UInt64(slot.index))
    }
}
