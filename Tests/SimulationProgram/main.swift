import Glibc
import Simulation

// A seed must do the same in every process: no random hash seeds, no random addresses.
Determinism.ensure()
SimulatorExecutor.shared.install()
exit(Program.run(Array(CommandLine.arguments.dropFirst())))
