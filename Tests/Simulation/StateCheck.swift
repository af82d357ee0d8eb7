import Blocks
import Daemon
import Metadata
import Model
import OrderedStore
import Ring
import Runtime
import SimulationChecks
import TestSupport
import Verification

/// Looks at what the daemons hold when everything has come to rest.
@LoopActor
struct StateCheck {
    let world: SimulatedWorld

    /// The replicas of the metadata agree with each other, and each with itself.
    func metadata() -> [Violation] {
        let stores = world.machines.compactMap { machine in machine.stores.stateStores?.current.map { (machine.node, $0) } }
        var violations = StateChecks.digests(stores.compactMap { StateChecks.replica($0.0, $0.1) }, mustBeEven: true)
        // Also where digests agree: they chain what was applied, and a snapshot brings rows together with the digest.
        if let first = stores.first {
            for other in stores.dropFirst() { violations += StateChecks.rows(first.0, first.1, other.0, other.1) }
        }
        if let (node, store) = stores.first { violations += StateChecks.namespace(node, store) + StateChecks.orphans(node, store) }
        return violations
    }

    /// What `dhtfs verify --deep` says.
    /// - Parameter repairs: as `--repair` does.
    func verify(repairs: Bool) async -> [Violation] {
        let client = world.startClient("verify", on: world.machines[0], role: .administrator)
        defer { client.process.kill() }
        do throws(DaemonError) {
            let source = NamespaceCopy(client.services.metadataClient(name: "verify", hasSession: false))
            var options = Checker.Options()
            options.isDeep = true
            let layouts = try await client.services.currentLayouts()
            let checker = Checker(
                rings: RingHistory(layouts), replicas: client.services.replicas, clock: client.environment.clock,
                rows: { progress throws(VerificationError) in try await source.copy(progress) }, progress: { _ in })
            let report: Report
            do throws(VerificationError) { report = try await checker.check(options) } catch { throw DaemonError(.cluster, error.cause) }
            if repairs { _ = await checker.repair(report) }
            return StateChecks.verification(report)
        } catch { return [Violation(.copies, "verify", "could not run: \(error.cause)")] }
    }
}
