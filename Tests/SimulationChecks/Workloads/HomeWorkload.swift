import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Changes names in a directory of its own, one after the other as `mv` and `rm` do: nobody waits for the leader. Others look in, and take something away.
@LoopActor
package final class HomeWorkload: Workload {
    private let context: WorkloadContext
    private let names: RecordedNames
    private let choices: [String]
    private var home: InodeID?
    private var made = 0

    package init(_ context: WorkloadContext) {
        self.context = context
        let ledger = context.recorder.ledger("homes") { NameLedger(area: "homes", root: context.area, recorder: context.recorder) }
        names = RecordedNames(context.files, context.client, ledger)
        choices = (0..<3 + context.size).map { "n\($0)" }
    }

    package func run(until deadline: UInt64) async { await context.loop(until: deadline, step) }

    private var name: String { context.pick(choices) ?? "n" }

    private func step() async {
        switch context.random.below(8) {
        case 0: await visit()
        case 1: if let home { await names.sync(home) }
        default: await change()
        }
    }

    private func change() async {
        if home == nil || context.once(in: 8) { await move() }
        guard let home else { return }
        for _ in 0..<context.number(2...8) {
            switch context.random.below(13) {
            case 0...3: await names.rename(home, name, to: home, name, mode: context.once(in: 4) ? .noReplace : .replace)
            case 4...5: await names.unlink(home, name)
            case 6: _ = await names.lookup(home, name)
            case 7...8: await names.removeDirectory(home, name)
            case 9: _ = await names.makeDirectory(home, name)
            case 10: if context.once(in: 3) { _ = await names.list(home) } else { _ = await names.attributes(home) }
            default: await make(name)
            }
        }
    }

    /// Into a directory of its own with a few files, in the home before.
    private func move() async {
        made += 1
        let parent = context.once(in: 2) ? home ?? context.area : context.area
        guard let attributes = await names.makeDirectory(parent, "\(context.client).\(made)") else { return }
        home = attributes.inode
        for name in choices { await make(name) }
    }

    private func make(_ name: String) async {
        guard let home, let file = await names.create(home, name, isExclusive: true, flags: O_RDWR) else { return }
        await context.files.release(file.0.inode, handle: file.handle)
    }

    /// Looks into somebody's home; sometimes takes a file away, or leaves one.
    private func visit() async {
        guard let homes = await names.list(context.area), let other = context.pick(homes), let found = await names.list(other.inode) else { return }
        for item in found where context.once(in: 3) { _ = await names.lookup(other.inode, item.name) }
        guard let home, context.once(in: 2), let item = context.pick(found) else { return }
        if context.once(in: 2) {
            await names.rename(other.inode, item.name, to: home, item.name, mode: .replace)
        } else {
            await names.rename(home, name, to: other.inode, item.name, mode: .replace)
        }
    }
}
