import Simulation
import Runtime
import Telemetry
import Glibc
import Filesystem
import Namespace
import Model

SimulatorExecutor.shared.install()
nonisolated(unsafe) var w: SimulatedWorld!
SimulatorExecutor.shared.run {
    w = SimulatedWorld(seed: 1, nodes: 5, replicas: 3, drift: 50, trace: Trace(prints: true), logLevel: .info)
    for machine in w.machines { w.start(machine) }
}
let world = w!
let ok = SimulatedWorld.run(world, limit: 120 * Nanoseconds.second) {
    let clients = [world.startClient("c1", on: world.machines[1]), world.startClient("c2", on: world.machines[2])]
    let files = await clients[0].mounted()
    print("mounted", world.time.now)
    do {
        let (entry, open) = try await files.create(.root, Array("a".utf8), mode: 0o644, flags: 2, .init(uid: 0, gid: 0))
        print("created", world.time.now)
        try await files.sync(entry.attributes.inode, handle: open.handle, dataOnly: false)
        print("synced", world.time.now)
        await files.release(entry.attributes.inode, handle: open.handle)
        let other = await clients[1].mounted()
        print(try await other.lookup(.root, Array("a".utf8)).attributes.inode)
        while world.time.now < 60 * Nanoseconds.second { await clients[0].environment.clock.sleep(nanoseconds: Nanoseconds.second) }
        print("idle", world.time.now, world.time.events, SimulatorExecutor.shared.count)
    } catch { print("error", error) }
}
print(ok)
