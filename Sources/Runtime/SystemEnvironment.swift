extension Environment {
    /// The real world: the machine's clock, randomness, disks and threads, with `network` for the connections.
    /// - Parameters:
    ///   - diskThreads: how many disk calls may wait at a time.
    ///   - workerThreads: for hashing and compression; as many as there are processors, at most 4, unless given.
    package static func system(network: any Network, diskThreads: Int = 4, workerThreads: Int? = nil) -> Environment {
        Environment(
            clock: SystemClock.shared, random: SystemRandom(), network: network,
            disk: SystemDisk(threads: WorkerThreads(count: diskThreads, name: "disk")),
            workers: WorkerThreads(count: workerThreads ?? min(4, WorkerThreads.processors), name: "worker"))
    }
}
