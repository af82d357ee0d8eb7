package import Runtime

/// One fault of a fault loop: what goes wrong at the disk operation with a number, and what becomes of the machine then.
@LoopActor
package struct FaultPlan: Sendable, CustomStringConvertible {
    package enum Fault: Sendable, CaseIterable {
        case error, noSpace
        /// A write ends early: after nothing, after a part of a sector, after some sectors. Only writes; every other operation fails as with `noSpace`.
        case shortByAll, shortInSector, shortAtSector
        /// The process dies before the operation takes effect, or after it and before it is answered.
        case deathBefore, deathAfter
    }

    package enum Aftermath: Sendable, CaseIterable {
        /// The process is started anew; what was not synced is still in the kernel's memory.
        case restart
        /// Power is lost, and with it everything that was not synced.
        case powerLoss
        /// Power is lost, and any part of what was not synced.
        case partialLoss
    }

    package var operation: Int
    package var fault: Fault
    package var aftermath: Aftermath

    package init(operation: Int, fault: Fault, aftermath: Aftermath) {
        self.operation = operation
        self.fault = fault
        self.aftermath = aftermath
    }

    /// Every fault with every aftermath.
    package static var kinds: [(Fault, Aftermath)] { Fault.allCases.flatMap { fault in Aftermath.allCases.map { (fault, $0) } } }

    package nonisolated var description: String { "\(fault) at operation \(operation), \(aftermath)" }

    /// Runs `work` with the fault in place, up to its end or the death of the process.
    /// - Returns: whether the fault was reached.
    package func strike(_ disk: MemoryDisk, _ process: MemoryDiskProcess, _ work: @escaping @LoopActor () async -> Void) async -> Bool {
        let number = disk.operations + operation
        switch fault {
        case .error: disk.failingOperation = (number, .failed)
        case .noSpace: disk.failingOperation = (number, .noSpace)
        case .shortByAll, .shortInSector, .shortAtSector:
            disk.failingOperation = (number, .noSpace)
            disk.failingWriteKeeps = fault == .shortByAll ? 0 : fault == .shortInSector ? 700 : 4096
        case .deathBefore: process.end = (process.operations + operation, false)
        case .deathAfter: process.end = (process.operations + operation, true)
        }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            var isOver = false
            let end = { @LoopActor in
                if !isOver { continuation.resume() }
                isOver = true
            }
            process.onDeath = end
            Task { @LoopActor in
                await work()
                end()
            }
        }
        process.onDeath = nil
        let isReached = process.isAlive ? disk.failingOperation == nil && process.end == nil : true
        disk.failingOperation = nil
        disk.failingWriteKeeps = nil
        process.end = nil
        return isReached
    }

    /// What becomes of the machine. No call of the process does anything any more.
    package func follow(_ disk: MemoryDisk, _ process: MemoryDiskProcess, seed: UInt64) {
        process.kill()
        switch aftermath {
        case .restart: break
        case .powerLoss: disk.crash()
        case .partialLoss: disk.crash(random: SeededRandom(seed: seed))
        }
    }
}
