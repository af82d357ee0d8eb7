import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Appends to files that all clients append to, and reads them.
@LoopActor
package final class AppendWorkload: Workload {
    private let context: WorkloadContext
    private let content: RecordedContent
    private var writer: OpenedFile?

    package init(_ context: WorkloadContext) {
        self.context = context
        let ledger = context.recorder.ledger("append") { ContentLedger(area: "append", recorder: context.recorder) }
        content = RecordedContent(context.files, context.client, ledger)
    }

    package func run(until deadline: UInt64) async {
        await context.loop(until: deadline, step)
        if let writer { await content.close(writer) }
    }

    private func step() async {
        guard let file = writer else { return await open() }
        switch context.random.below(10) {
        case 0...5: await content.append(file, count: context.number(1...3))
        case 6: await content.sync(file)
        case 7...8: await read(file.inode)
        default:
            await content.close(file)
            writer = nil
        }
    }

    private func open() async {
        let name = "log\(context.random.below(2))"
        let flags = O_WRONLY | O_APPEND | O_CREAT | (context.once(in: 6) ? O_DSYNC : 0)
        guard
            let (entry, open) = try? await context.files.create(
                context.area, Array(name.utf8), mode: 0o644, flags: flags, Caller(uid: 1000, gid: 1000))
        else { return }
        context.files.forget(entry.attributes.inode, count: 1)
        writer = content.adopt(entry.attributes.inode, open.handle, flags: flags)
    }

    /// Its end, or all of it.
    private func read(_ inode: InodeID) async {
        guard let file = await content.open(inode, flags: O_RDONLY) else { return }
        if context.once(in: 2) {
            await content.read(file, start: 0, count: 1 << 16)
        } else if let size = await content.size(inode) {
            await content.read(file, start: size - min(size, 8), count: 16)
        }
        await content.close(file)
    }
}
