import CPosix
import Glibc
package import Runtime

/// Watches how much memory this process has, and gives back what is free in it.
///
/// Blocks and pieces of all sizes come and go on many threads, of which each may have an arena of malloc(3): free pages between those in use stay with the
/// process, in a mount as much again as its cache. malloc_trim(3) gives back free pages wherever they lie.
@LoopActor
package final class ResidentMemory: Sendable {
    private static let period = 10 * Nanoseconds.second
    /// Bytes by which the process must have grown before it is worth a look at all arenas, each of which is locked meanwhile.
    private static let growth: UInt64 = 32 << 20
    /// Likewise for a process that is at rest, where nobody waits for the locks.
    private static let growthAtRest: UInt64 = 4 << 20

    private let environment: Environment
    /// What was left after the last time, or less if the process shrank by itself.
    private var least: UInt64
    /// What the look before saw.
    private var previous: UInt64 = 0
    private var timer: (any TimerHandle)?
    private var isStopped = false

    /// Begins to watch.
    package init(_ environment: Environment) {
        self.environment = environment
        least = Self.bytes()
        lookLater()
    }

    package func stop() {
        isStopped = true
        timer?.cancel()
        timer = nil
    }

    private func lookLater() {
        guard !isStopped else { return }
        timer = environment.clock.schedule(after: Self.period) { [weak self] in self?.look() }
    }

    private func look() {
        let now = Self.bytes()
        least = min(least, now)
        let isAtRest = max(now, previous) - min(now, previous) < Self.growthAtRest
        previous = now
        guard now - least >= (isAtRest ? Self.growthAtRest : Self.growth) else { return lookLater() }
        Task { @LoopActor [weak self, workers = environment.workers] in
            let left = await workers.run {
                CPosix_give_back_free_memory()
                return Self.bytes()
            }
            self?.least = left
            self?.lookLater()
        }
    }

    /// Of this process (proc(5), statm: the second number, in pages); 0 if it cannot be read.
    package nonisolated static func bytes() -> UInt64 {
        guard let content = try? LocalFile.read("/proc/self/statm") else { return 0 }
        let fields = content.split(separator: 0x20)
        guard fields.count > 1, let pages = UInt64(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
        return pages * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }
}
