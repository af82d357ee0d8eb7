import Runtime
import Testing

/// What the order guarantee of channels rests on.
@Suite @LoopActor struct OrderTests {
    @LoopActor private final class Events {
        var names: [String] = []

        func waitInner() async -> Result<Int, Never> {
            await withUnsafeContinuation { continuation in
                Task { @LoopActor in
                    names.append("resume")
                    continuation.resume(returning: .success(1))
                    Task { @LoopActor in names.append("later") }
                }
            }
        }

        func wait() async throws -> Int { await waitInner().get() }
    }

    @Test func resumedTaskRunsBeforeLaterTask() async throws {
        let events = Events()
        _ = try await events.wait()
        events.names.append("waiter")
        await Task.yield()
        await Task.yield()
        #expect(events.names == ["resume", "waiter", "later"])
    }
}
