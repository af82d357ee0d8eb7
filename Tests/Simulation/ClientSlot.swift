package import Runtime

/// The place of a client on a machine, where one process follows another.
@LoopActor
package final class ClientSlot: Sendable {
    package let number: Int
    package let machine: SimulatedMachine
    package private(set) var client: SimulatedClient
    private let world: SimulatedWorld
    private var down = 0
    private var frozen = 0
    private var incarnation = 1
    /// Told when a new client has started, and when one has ended.
    package var onStart: (@LoopActor (SimulatedClient) -> Void)?
    package var onEnd: (@LoopActor (SimulatedClient) -> Void)?

    package init(_ number: Int, on machine: SimulatedMachine, _ world: SimulatedWorld) {
        self.number = number
        self.machine = machine
        self.world = world
        client = world.startClient("c\(number).1", on: machine)
    }

    func takeDown() {
        down += 1
        guard !client.process.isDead else { return }
        client.process.kill()
        onEnd?(client)
    }

    func bringUp() {
        down -= 1
        if down == 0 { startAgain() }
    }

    func freeze() {
        frozen += 1
        client.process.freeze()
    }

    func thaw() {
        frozen -= 1
        if frozen == 0 { client.process.thaw() }
    }

    func healed() {
        client.process.thaw()
        if client.process.isDead { startAgain() }
        down = 0
        frozen = 0
    }

    private func startAgain() {
        guard client.process.isDead else { return }
        incarnation += 1
        client = world.startClient("c\(number).\(incarnation)", on: machine)
        onStart?(client)
    }
}
