import Runtime
import Testing

@Suite struct LoopTests {
    @Test @LoopActor func jobsRunOnTheLoop() async {
        #expect(EventLoop.shared.isCurrent)
        let value = await Task { @LoopActor in EventLoop.shared.isCurrent }.value
        #expect(value)
        await Task.yield()
        #expect(EventLoop.shared.isCurrent)
        LoopActor.assumeIsolated { #expect(EventLoop.shared.isCurrent) }
    }

    @Test @LoopActor func whatIsQueuedIsKnown() async {
        let next = Task { @LoopActor in EventLoop.shared.isCurrent }
        #expect(EventLoop.shared.hasQueuedJobs)
        #expect(await next.value)
    }

    @Test func isolationFromOutside() async {
        let there = await LoopTests.here()
        #expect(there)
    }

    @LoopActor static func here() -> Bool { EventLoop.shared.isCurrent }
}
