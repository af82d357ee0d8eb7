import CFuse
import CPosix
import Glibc
import Runtime
import Synchronization
import Telemetry
import Testing

@testable import FuseMount

/// Requests that come through io_uring.
@Suite struct QueueTests {
    private static let log = Log(component: "mount", level: .error)

    @Test(arguments: [
        ("0-3,8\n", [0, 1, 2, 3, 8]), ("0\n", [0]), ("\n", []), ("3-1", nil), ("a", nil), ("1-", nil), ("-1", nil), ("0-70000", nil),
    ])
    func listsOfProcessors(text: String, numbers: [Int]?) { #expect(RequestQueues.numbers(text) == numbers) }

    /// A queue without a thread.
    private func slot(_ queues: RequestQueues, index: Int = 0, payloadBytes: Int = 8192) throws -> RequestSlot {
        let queue = RequestQueue(queues, processor: 0, kernelQueues: [0], canStepAside: false, log: Self.log)
        return try #require(RequestSlot(queue, kernelQueue: 0, index: index, payloadBytes: payloadBytes))
    }

    /// A request as the kernel leaves it: `total` is the length that its header tells.
    private func put(_ slot: RequestSlot, total: UInt32, content: [UInt8], count: UInt32? = nil) throws {
        let header = try #require(slot.parts[0].iov_base)
        for byte in 0..<100 { header.storeBytes(of: UInt8(byte), toByteOffset: byte, as: UInt8.self) }
        header.storeBytes(of: total, as: UInt32.self)
        for byte in 0..<128 { header.storeBytes(of: UInt8(100 + byte), toByteOffset: 128 + byte, as: UInt8.self) }
        header.storeBytes(of: 77, toByteOffset: 264, as: UInt64.self)
        header.storeBytes(of: count ?? UInt32(content.count), toByteOffset: 272, as: UInt32.self)
        try #require(slot.parts[1].iov_base).copyMemory(from: content, byteCount: content.count)
    }

    @Test func aRequestIsPutTogether() throws {
        let slot = try slot(RequestQueues(log: Self.log))
        #expect(slot.parts[0].iov_len == 288 && slot.parts[1].iov_len == 8192)
        try put(slot, total: 40 + 24 + 3, content: [7, 8, 9])
        let request = try #require(slot.request())
        #expect(Array(request[4..<40]) == Array(4..<40))
        #expect(Array(request[40...]) == Array(100..<124) + [7, 8, 9])
        #expect(slot.number == 77)
        try put(slot, total: 40 + 5, content: [1, 2, 3, 4, 5])
        #expect(slot.request().map { Array($0[40...]) } == [1, 2, 3, 4, 5])
        for (total, count) in [(40, 1), (0, 0), (40 + 129, 0), (40 + 9000, 9000), (UInt32.max, 0), (40, UInt32.max)] as [(UInt32, UInt32)] {
            try put(slot, total: total, content: [], count: count)
            #expect(slot.request() == nil, "\(total) \(count)")
        }
    }

    private func answer(_ number: UInt64, error: Int32 = 0, _ content: [[UInt8]] = [], _ body: (UnsafeBufferPointer<iovec>) -> Void) {
        var header = [UInt32(16 + content.joined().count), UInt32(bitPattern: error), UInt32(truncatingIfNeeded: number), UInt32(number >> 32)]
        header.withUnsafeMutableBytes { header in
            var parts = [iovec(iov_base: header.baseAddress, iov_len: header.count)]
            let copies = content.map { part in
                let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 1)
                copy.copyBytes(from: part)
                return copy
            }
            parts += copies.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
            parts.withUnsafeBufferPointer(body)
            for copy in copies { copy.deallocate() }
        }
    }

    @Test func anAnswerIsPutIntoItsSlot() throws {
        let queues = RequestQueues(log: Self.log)
        let slot = try slot(queues)
        try put(slot, total: 40, content: [])
        #expect(!queues.began(77, slot))
        answer(75) { #expect(queues.answer($0) == nil) }
        answer(77, [[1, 2], [3]]) { #expect(queues.answer($0) == 19) }
        let header = try #require(slot.parts[0].iov_base)
        #expect(header.load(as: UInt32.self) == 19 && header.load(fromByteOffset: 8, as: UInt64.self) == 77)
        #expect(header.load(fromByteOffset: 272, as: UInt32.self) == 3)
        #expect(Array(UnsafeRawBufferPointer(start: slot.parts[1].iov_base, count: 3)) == [1, 2, 3])
        // Only once.
        answer(77) { #expect(queues.answer($0) == nil) }

        #expect(!queues.began(77, slot))
        answer(77, [[UInt8](repeating: 1, count: 8000), [UInt8](repeating: 1, count: 193)]) { _ = queues.answer($0) }
        #expect(header.load(fromByteOffset: 4, as: Int32.self) == -EIO && header.load(fromByteOffset: 272, as: UInt32.self) == 0)
    }

    /// Memory goes while the slot is ours, and never what is in use.
    @Test(arguments: [0, 100]) func memoryIsGivenBack(index: Int) throws {
        let queues = RequestQueues(log: Self.log)
        let slot = try slot(queues, index: index, payloadBytes: 1 << 20)
        let large = [UInt8](repeating: 7, count: 200_000)
        let payload = try #require(slot.parts[1].iov_base)
        func isThere(_ place: Int) -> Bool { payload.load(fromByteOffset: place, as: UInt8.self) == 7 }
        // As after a write.
        try put(slot, total: 40 + 200_000, content: large)
        #expect(slot.request()?.last == 7)
        #expect(isThere(0) && isThere(199_999))
        _ = queues.began(77, slot)
        answer(77, [[7, 7]]) { _ = queues.answer($0) }
        #expect(isThere(1) && isThere(199_999) == (index == 0))
        // As after a read: what the kernel has still to take stays.
        try put(slot, total: 40, content: [])
        #expect(slot.request() != nil)
        _ = queues.began(77, slot)
        answer(77, [large]) { _ = queues.answer($0) }
        #expect(isThere(0) && isThere(199_999))
        try put(slot, total: 43, content: [7, 7, 7])
        #expect(slot.request()?.last == 7)
        #expect(isThere(2) && isThere(199_999) == (index == 0))
    }

    /// Libfuse finds no request for an interrupt that comes before it, and may give the interrupt back at another request.
    @Test func interruptsAreNotLost() throws {
        let queues = RequestQueues(log: Self.log)
        let slot = try slot(queues)
        let seen = Mutex<[[UInt8]]>([])
        queues.serve(RequestQueue.Service(device: -1, payloadBytes: 8192, handle: { request in seen.withLock { $0.append(Array(request)) } }, fail: {}))
        answer(7, error: -EAGAIN) { #expect(queues.answer($0) == 16) }
        #expect(seen.withLock { $0 }.isEmpty)
        #expect(!queues.began(8, slot))
        #expect(queues.began(6, slot))
        #expect(!queues.began(6, slot))
        answer(9, error: -EAGAIN) { #expect(queues.answer($0) == 16) }
        let interrupts = seen.withLock { $0 }
        #expect(interrupts.count == 1)
        #expect(interrupts.first.map { [$0[0], $0[4], $0[8], $0[40]] } == [48, 36, 9, 8])
        // The kernel's business.
        answer(11, error: -ENOENT) { #expect(queues.answer($0) == nil) }
    }

    @Test func whoeverComputesForLongIsLetGo() {
        var aside = SteppingAside()
        func skipped() -> Int {
            var count = 0
            while !aside.isDue() { count += 1 }
            return count
        }
        #expect(skipped() == 0)
        aside.took(10_000)
        #expect(skipped() == 0)
        var counts: [Int] = []
        for _ in 0..<10 {
            aside.took(3_000_000)
            counts.append(skipped())
        }
        #expect(counts == [16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024])
        aside.took(10_000)
        #expect(skipped() == 0)
        aside.took(3_000_000)
        #expect(skipped() == 1024)
        for _ in 0..<20 { aside.took(10_000) }
        aside.took(3_000_000)
        #expect(skipped() == 16)
        aside.took(10_000)
        aside.isBusy()
        #expect(skipped() == 8)
    }

    /// A thread's place among others: policy (sched(7)) and slice in nanoseconds.
    private struct Place: Equatable, Sendable {
        var policy: String
        var slice: String
    }

    /// The calling thread's.
    private static func place() -> Place? {
        guard let lines = MountPoint.contents(of: "/proc/thread-self/sched")?.split(separator: "\n") else { return nil }
        func value(_ name: String) -> String { lines.first { $0.hasPrefix(name) }?.split(separator: " ").last.map(String.init) ?? "" }
        return Place(policy: value("policy"), slice: value("se.slice"))
    }

    @Test(.enabled(if: geteuid() == 0, "needs CAP_SYS_NICE")) func aThreadStepsAsideAndBack() async throws {
        let places = await SystemThread.run("test") {
            _ = CPosix_step_back()
            let before = Self.place()
            let isAside = CPosix_step_aside() == 0
            let aside = Self.place()
            let isBack = CPosix_step_back() == 0
            return [before, isAside ? aside : nil, isBack ? Self.place() : nil]
        }
        #expect(places[0] == Place(policy: "\(SCHED_OTHER)", slice: "100000"))
        // SCHED_IDLE of linux/sched.h, a macro that Swift does not see. The kernel does not show the slice then.
        #expect(places[1]?.policy == "5")
        #expect(places[2] == places[0])
    }

    /// More requests than there are places at first, all from one processor, wait for something; others get through.
    @Test(.enabled(if: canMount, "needs root and /dev/fuse"), arguments: [true, false]) @LoopActor
    func waitingRequestsLeaveRoom(queues: Bool) async throws {
        try await Mounted.with({ $0.usesQueues = queues }) { mounted, child in
            for number in 0..<100 { mounted.files.hold("lookup stuck\(number)") }
            _ = await child.ask("import threading; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})")
            _ = await child.ask("t = [threading.Thread(target=os.path.exists, args=(M+'/stuck%d' % n,)) for n in range(100)]")
            _ = await child.ask("[x.start() for x in t]")
            await mounted.files.somebodyHeld(100)
            #expect(await child.ask("os.path.exists(M+'/other')") == "False")
            mounted.files.letGo()
            #expect(await child.ask("len([x.join() for x in t])") == "100")
        }
    }
}
