package import Runtime

/// The life of one process on a simulated machine. Everything that comes to it from outside (time, network, disk) comes through `deliver`, so that a dead process
/// never goes on, at whatever suspension point it was, and a frozen one goes on when it is thawed.
@LoopActor
package final class SimulatedProcess: Sendable {
    package enum State: Sendable {
        case running, frozen, dead
    }

    package let name: String
    package private(set) var state = State.running
    private var held: [@LoopActor () -> Void] = []
    private var deathHandlers: [@LoopActor () -> Void] = []
    private var stopHandlers: [@LoopActor (_ isFrozen: Bool) -> Void] = []

    package init(name: String) { self.name = name }

    package var isDead: Bool { state == .dead }

    /// Calls `body` now, at the thaw, or never.
    package func deliver(_ body: @escaping @LoopActor () -> Void) {
        switch state {
        case .running: body()
        case .frozen: held.append(body)
        case .dead: break
        }
    }

    package func freeze() {
        guard state == .running else { return }
        state = .frozen
        for handler in stopHandlers { handler(true) }
    }

    package func thaw() {
        guard state == .frozen else { return }
        state = .running
        let calls = held
        held = []
        for call in calls { deliver(call) }
        for handler in stopHandlers { handler(false) }
    }

    /// Ends the process. Its tasks stay where they are for ever.
    package func kill() {
        guard state != .dead else { return }
        state = .dead
        held = []
        stopHandlers = []
        let handlers = deathHandlers
        deathHandlers = []
        for handler in handlers { handler() }
    }

    /// For what the kernel does when a process ends.
    package func onDeath(_ body: @escaping @LoopActor () -> Void) { deathHandlers.append(body) }

    /// For what holds calls back by itself while the process is frozen.
    package func onStop(_ body: @escaping @LoopActor (_ isFrozen: Bool) -> Void) { stopHandlers.append(body) }
}
