import Runtime
import Telemetry

/// A log that says nothing: what is logged here is expected, and millions of it.
let quiet = Log(component: "fuzz", level: .error, context: [])

/// Runs loop code to its end. Not for code that is on the loop itself.
func onLoop<Value: Sendable>(_ body: @escaping @LoopActor @Sendable () async -> Value) -> Value {
    let done = Semaphore()
    let box = ResultBox<Value>()
    Task { @LoopActor in
        box.value = await body()
        done.signal()
    }
    done.wait()
    guard let value = box.value else { preconditionFailure("the loop signalled without a value") }
    return value
}

/// As `onLoop`, for bodies that check something.
func checkOnLoop(_ body: @escaping @LoopActor @Sendable () async throws(Violation) -> Void) throws(Violation) {
    let result = onLoop { () -> Result<Void, Violation> in
        do throws(Violation) {
            try await body()
            return .success(())
        } catch {
            return .failure(error)
        }
    }
    try result.get()
}

/// Sendable without checking: written before and read after the semaphore.
private final class ResultBox<Value>: @unchecked Sendable {
    var value: Value?
}
