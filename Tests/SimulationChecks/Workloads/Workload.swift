package import Runtime

/// What one process on one client does over and over, noting in a recorder what it did and saw.
@LoopActor
package protocol Workload: AnyObject, Sendable {
    init(_ context: WorkloadContext)
    /// Returns at the deadline (`Clock.now`), with its files closed. Goes on after errors. Never returns if its client is killed.
    func run(until deadline: UInt64) async
}
