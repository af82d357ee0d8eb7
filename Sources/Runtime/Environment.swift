/// The outside world of one daemon or one client: the four protocols and the threads for computing. All that layer 3 gets.
@LoopActor
package final class Environment: Sendable {
    package let clock: any Clock
    package let random: any RandomSource
    package let network: any Network
    package let disk: any Disk
    package let workers: any Workers

    package init(clock: any Clock, random: any RandomSource, network: any Network, disk: any Disk, workers: any Workers) {
        self.clock = clock
        self.random = random
        self.network = network
        self.disk = disk
        self.workers = workers
    }
}

/// Threads for work that would hold up the loop: hashing, compression. In a simulator the work is done at once.
@LoopActor
package protocol Workers: AnyObject, Sendable {
    /// Runs `work` on another thread and resumes on the loop with its result. `work` must not touch loop state.
    func run<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result
}
