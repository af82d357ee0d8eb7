package import Model
package import SimulationChecks
package import Telemetry

/// What one run of the simulator is to do.
package struct RunPlan: Sendable {
    package var seed: UInt64
    package var nodes = 5
    package var clients = 3
    /// For how many simulated seconds there are faults and load.
    package var seconds = 60
    /// Each seed has a mix of faults of its own.
    package var isSwarm = true
    /// Instead of the faults that the seed draws.
    package var script: FaultScript?
    /// What the clients do, instead of what the seed draws.
    package var workloads: [WorkloadKind]?
    /// How far clocks may run fast or slow, in millionths.
    package var drift = 50
    /// A fault of the product's own that is in force; only where they are compiled in.
    package var canary: Canary?
    package var printsTrace = false
    package var logLevel = LogLevel.info

    package init(seed: UInt64) { self.seed = seed }
}
