import Runtime

/// The executor of `LoopActor` in the simulator: jobs run one after another, in the order in which they were enqueued, on the one thread that calls `runAll`.
///
/// Sendable without checking: the simulator has one thread; a job from another one would be a mistake that `precondition` finds by its missing turn.
package final class SimulatorExecutor: SerialExecutor, @unchecked Sendable {
    package static let shared = SimulatorExecutor()

    private var jobs: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var isRunning = false
    /// Jobs run so far.
    package private(set) var count: UInt64 = 0

    private init() {}

    /// Makes this the loop of the process, and the place where the runtime resumes tasks. Before the first use of `LoopActor`.
    package func install() {
        LoopActor.install(self)
        GlobalExecutorHook.install { job, _ in SimulatorExecutor.shared.add(job) }
    }

    package func enqueue(_ job: consuming ExecutorJob) { add(UnownedJob(job)) }

    private func add(_ job: UnownedJob) { jobs.append(job) }

    /// Runs everything that is queued, and what that queues.
    package func runAll() {
        isRunning = true
        while !jobs.isEmpty {
            swap(&jobs, &running)
            for job in running {
                count &+= 1
                job.runSynchronously(on: asUnownedSerialExecutor())
            }
            running.removeAll(keepingCapacity: true)
        }
        isRunning = false
    }

    /// Calls `body` as if it were a job: for the calls that timers make.
    package func run(_ body: @LoopActor () -> Void) {
        isRunning = true
        LoopActor.assumeIsolated(body)
        isRunning = false
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() { precondition(isRunning, "not on the simulated loop") }

    package func isIsolatingCurrentContext() -> Bool? { isRunning }
}
