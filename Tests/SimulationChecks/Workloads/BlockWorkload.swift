import Blocks
import Bytes
import Digest
import Filesystem
import Model
package import Runtime
import TestSupport

/// Puts blocks and gets them, its own and those of others; some have the same content.
@LoopActor
package final class BlockWorkload: Workload {
    private let context: WorkloadContext
    private let ledger: BlockLedger
    /// The last blocks of this client, to compare parts with.
    private var recent: [(key: BlockKey, content: Slice)] = []

    package init(_ context: WorkloadContext) {
        self.context = context
        ledger = context.recorder.ledger("blocks") { BlockLedger(area: "blocks", recorder: context.recorder) }
    }

    package func run(until deadline: UInt64) async {
        guard let blocks = context.blocks else { return }
        await context.loop(until: deadline) {
            switch context.random.below(8) {
            case 0...2: await put(blocks)
            case 3...4:
                guard let key = context.pick(ledger.keys) else { return }
                await ledger.get(key, offset: 0, count: ledger.length(key), content: nil, blocks, context.client)
            default:
                guard let (key, content) = context.pick(recent), ledger.length(key) == content.count else { return }
                let offset = context.random.below(content.count)
                let count = 1 + context.random.below(content.count - offset)
                await ledger.get(key, offset: offset, count: count, content: content, blocks, context.client)
            }
        }
    }

    private func put(_ blocks: any BlockClient) async {
        let content: Slice
        if context.once(in: 4) {
            // Everybody's: one block is stored, whoever puts it.
            let shared = SeededRandom(seed: UInt64(context.random.below(5)))
            content = Slice(copying: shared.bytes(3000))
        } else {
            content = Slice(copying: context.random.bytes(1 + context.random.below([200, 5000, 40_000][context.random.below(3)])))
        }
        await ledger.put(content, blocks, context.client)
        let key = content.withBytes { SHA256.key(of: $0) }
        if recent.count > 7 { recent.removeFirst() }
        recent.append((key, content))
    }
}
