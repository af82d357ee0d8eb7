package import Runtime

/// Does the work at once, on the loop.
@LoopActor
package final class InlineWorkers: Workers {
    package init() {}

    package func run<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
        await Task.yield()
        return work()
    }
}
