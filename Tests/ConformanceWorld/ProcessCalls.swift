package import Conformance
import Filesystem
package import FilesystemWorld
import Glibc
import Model
import Namespace
package import Runtime
package import TestSupport

/// Calls in this process, on layer 4 of one mount of a world in memory. For a thread of its own, which waits for the loop.
package final class ProcessCalls: SystemCalls, Sendable {
    private let kernel: KernelModel
    private let clock: VirtualClock

    @LoopActor
    package init(_ mount: Mount, clock: VirtualClock) {
        kernel = KernelModel(mount.files, clock: clock)
        self.clock = clock
    }

    package func perform(_ call: Call, as user: User) -> Returned {
        let (kernel, clock) = (kernel, clock)
        return Self.wait {
            let work = Work()
            Task { @LoopActor in work.answer = await kernel.perform(call, as: user) }
            // What waits for a time, as somebody who tries again, gets it.
            while work.answer == nil {
                for _ in 0..<100 where work.answer == nil { await Task.yield() }
                if work.answer == nil { _ = await clock.advanceToNextTimer(turns: 50) }
            }
            return work.answer ?? .failed(EIO)
        }
    }

    @LoopActor
    private final class Work {
        var answer: Returned?
    }

    package func tick() {
        let clock = clock
        _ = Self.wait {
            await clock.advance(by: 20 * Nanoseconds.millisecond)
            return .number(0)
        }
    }

    package func enter(_ name: String) throws(Failure) {
        let kernel = kernel
        _ = Self.wait { await kernel.enter([]) }
        _ = perform(.makeDirectory(Path(name), 0o777), as: .root)
        try join(name)
    }

    package func join(_ name: String) throws(Failure) {
        let kernel = kernel
        let answer = Self.wait { await kernel.enter(Array(name.utf8)) }
        guard case .number = answer else { throw Failure("no directory \(name): \(answer)") }
    }

    /// What is in the directory stays: the world goes with the test.
    package func leave() { part() }

    package func part() {
        let kernel = kernel
        _ = Self.wait {
            await kernel.leave()
            return .number(0)
        }
    }

    /// Runs `body` on the loop; this thread waits.
    private static func wait(_ body: @escaping @Sendable @LoopActor () async -> Returned) -> Returned {
        let box = Box()
        Task { @LoopActor in box.put(await body()) }
        return box.take()
    }

    /// Hands an answer from the loop to the thread that waits.
    ///
    /// Sendable without checking: `answer` is written before the semaphore is posted and read after it was waited for.
    private final class Box: @unchecked Sendable {
        private var answer = Returned.failed(EIO)
        private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

        init() { sem_init(semaphore, 0, 0) }

        deinit {
            sem_destroy(semaphore)
            semaphore.deallocate()
        }

        func put(_ answer: Returned) {
            self.answer = answer
            sem_post(semaphore)
        }

        func take() -> Returned {
            while sem_wait(semaphore) != 0 {}
            return answer
        }
    }
}
