import Bytes
import Daemon
import Filesystem
import Model
import Namespace
import Runtime
import TestSupport

/// What the clients do.
@LoopActor
final class Load {
    private let world: SimulatedWorld
    private let slots: [ClientSlot]
    private let random: SeededRandom
    private var deadline: UInt64 = 0
    private var running: [String] = []
    private var operations = 0
    private var errors = 0

    init(_ world: SimulatedWorld, _ slots: [ClientSlot], random: SeededRandom) {
        self.world = world
        self.slots = slots
        self.random = random
    }

    func start(until deadline: UInt64) {
        self.deadline = deadline
        for slot in slots {
            slot.onStart = { [weak self] client in self?.begin(client) }
            slot.onEnd = { [weak self] client in self?.running.removeAll { $0 == client.name } }
            if !slot.client.process.isDead { begin(slot.client) }
        }
    }

    private func begin(_ client: SimulatedClient) {
        running.append(client.name)
        let random = SeededRandom(seed: random.next())
        Task { @LoopActor in
            let files = await client.mounted()
            var number = 0
            while self.world.time.now < self.deadline {
                number += 1
                self.operations += 1
                do {
                    let name = Array("\(client.name)-\(number)".utf8)
                    let (entry, open) = try await files.create(.root, name, mode: 0o644, flags: 2, Caller(uid: 0, gid: 0))
                    let content = random.bytes(1 + random.below(20_000))
                    let slice = Slice(copying: content)
                    _ = try await files.write(entry.attributes.inode, handle: open.handle, offset: 0, slice)
                    try await files.sync(entry.attributes.inode, handle: open.handle, dataOnly: false)
                    await files.release(entry.attributes.inode, handle: open.handle)
                } catch {
                    self.errors += 1
                    self.world.trace.add(self.world.time.now, client.name, "error \(error)")
                }
                await client.environment.clock.sleep(nanoseconds: random.next() % (200 * Nanoseconds.millisecond))
            }
            self.running.removeAll { $0 == client.name }
        }
    }

    var isOver: Bool { running.isEmpty }

    func flush() async -> Bool {
        for slot in slots { try? await slot.client.mounted().syncAll() }
        return true
    }

    func check(_ world: SimulatedWorld, wasDestroyed: Bool) async -> [RunReport.Violation] { [] }

    func conclude(_ report: inout RunReport) {
        report.operations = operations
        report.open = errors
    }
}
