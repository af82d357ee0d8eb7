package import Digest
import Ring
package import Runtime
import Telemetry

/// Looks over and over whether this daemon has every block that is in use and that the ring places on it, and has those fetched that it lacks.
///
/// Most missing copies are known to a coordinator, which owes them (`ResyncQueue`). This finds the rest: a coordinator died between its acknowledgement
/// and the last copy, a disk lost what it had, somebody removed segments. Every daemon has a replica of the metadata, so nobody is asked anything: a
/// pass reads the references and the own index.
@LoopActor
package final class ReplicaAudit: Sendable {
    /// Times in nanoseconds.
    package struct Options: Sendable {
        /// From the start to the first pass, and between passes.
        package var initialDelay = 10 * Nanoseconds.second
        package var rest = 10 * Nanoseconds.minute
        /// Between pages of a pass, and the blocks of one page.
        package var pagePause = 100 * Nanoseconds.millisecond
        package var pageBlocks = 256
        /// A copy that is missing may be on its way: it is fetched if it is still missing after this.
        package var grace = 30 * Nanoseconds.second

        package init() {}
    }

    /// The blocks in use with keys above `after`, in order, at most `limit`; nil while they cannot be read.
    package typealias References = @LoopActor (_ after: BlockKey?, _ limit: Int) -> [BlockKey]?

    private let service: BlockService
    private let clock: any Clock
    private let options: Options
    private let references: References
    private var isStopped = false

    package init(_ service: BlockService, clock: any Clock, options: Options, references: @escaping References) {
        self.service = service
        self.clock = clock
        self.options = options
        self.references = references
    }

    package func start() {
        Task { @LoopActor [weak self, clock, options] in
            await clock.sleep(nanoseconds: options.initialDelay)
            while let self, !isStopped {
                await pass()
                await clock.sleep(nanoseconds: options.rest)
            }
        }
    }

    package func stop() { isStopped = true }

    private func pass() async {
        var last: BlockKey?
        var missing: UInt64 = 0
        while !isStopped {
            guard let keys = references(last, options.pageBlocks) else { return }
            let ring = service.layouts.current
            for key in keys where ring.isSuccessor(service.node, of: key) {
                guard await isMissing(key) else { continue }
                missing += 1
                service.resync.enqueue(ResyncTask(node: service.node, key: key), delay: options.grace)
            }
            guard keys.count == options.pageBlocks else { break }
            last = keys.last
            await clock.sleep(nanoseconds: options.pagePause)
        }
        if missing > 0 { service.log.warning("copies are missing here and will be fetched", ["blocks": "\(missing)"]) }
    }

    /// False also where the store cannot be read: it has said so by itself.
    private func isMissing(_ key: BlockKey) async -> Bool {
        do throws(BlockFailure) { return try await service.local.length(of: key) == nil } catch { return false }
    }
}
