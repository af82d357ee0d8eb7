/// Somebody's wish that a call which may wait long comes to its end, as a signal is to a system call.
@LoopActor
package final class Interrupt: Sendable {
    package private(set) var isRaised = false
    private var handler: (@LoopActor () -> Void)?

    package nonisolated init() {}

    package func raise() {
        guard !isRaised else { return }
        isRaised = true
        let body = handler
        handler = nil
        body?()
    }

    /// Has `body` called once when the interrupt is raised; at once if it was. nil: nobody listens any more.
    package func onRaise(_ body: (@LoopActor () -> Void)?) {
        if isRaised { body?() } else { handler = body }
    }
}
