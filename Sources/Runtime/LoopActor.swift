import Bytes

/// The isolation domain of everything above Runtime: one event loop; one thread at a time.
///
/// Layer-3 and layer-4 classes are annotated `@LoopActor`; they call each other without suspension and need no lock. A
/// process has one loop; its thread is started by the first use. A simulator installs its own executor before that, and runs any number
/// of daemons on it in one thread.
@globalActor
package actor LoopActor {
    package static let shared = LoopActor()

    package nonisolated var unownedExecutor: UnownedSerialExecutor { Self.executor.unowned }

    private static let executor = ExecutorBox()

    /// Uses `executor` instead of the process's event loop. Must be called before the first use of the actor.
    package static func install(_ executor: any SerialExecutor) { Self.executor.install(executor.asUnownedSerialExecutor()) }

    /// Runs `body` at once. The caller must have the loop's turn, as in a C callback of the loop; anything else traps.
    package static nonisolated func assumeIsolated<Result: Sendable, Failure: Error>(
        _ body: @LoopActor () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        shared.preconditionIsolated()
        // The same step as MainActor.assumeIsolated in the standard library: isolation was checked above, so the annotation
        // can be taken off the function's type.
        typealias Plain = () throws(Failure) -> Result
        return try withoutActuallyEscaping(body) { (escaping: @escaping @LoopActor () throws(Failure) -> Result) throws(Failure) -> Result in
            try unsafeBitCast(escaping, to: Plain.self)()
        }
    }
}

/// Holds the executor of `LoopActor`: the one installed, or else the event loop of the process.
///
/// Sendable without checking: the value is behind `lock`.
private final class ExecutorBox: @unchecked Sendable {
    private let lock = Lock()
    private var installed: UnownedSerialExecutor?

    func install(_ executor: UnownedSerialExecutor) {
        lock.withLock {
            precondition(installed == nil, "LoopActor was used before its executor was installed")
            installed = executor
        }
    }

    var unowned: UnownedSerialExecutor {
        lock.withLock {
            if let installed { return installed }
            let executor = EventLoop.shared.asUnownedSerialExecutor()
            installed = executor
            return executor
        }
    }
}
