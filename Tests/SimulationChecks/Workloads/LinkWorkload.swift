import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Hard links to files that never change, which others open, remove and replace: link counts are right everywhere, and who has a file
/// open can
/// read it to the end.
@LoopActor
package final class LinkWorkload: Workload {
    private struct Held {
        var inode: InodeID
        var handle: UInt64
        var losses: Int
    }

    private let context: WorkloadContext
    private let names: RecordedNames
    private let ledger: OrphanLedger
    private let choices: [String]
    private var held: [Held] = []
    private var count = 0

    package init(_ context: WorkloadContext) {
        self.context = context
        let nameLedger = context.recorder.ledger("links") { NameLedger(area: "links", root: context.area, recorder: context.recorder) }
        names = RecordedNames(context.files, context.client, nameLedger)
        ledger = context.recorder.ledger("orphans") { OrphanLedger(area: "links", recorder: context.recorder) }
        choices = (0..<2 + context.size).map { "l\($0)" }
    }

    package func run(until deadline: UInt64) async {
        await context.loop(until: deadline, step)
        for file in held { await context.files.release(file.inode, handle: file.handle) }
    }

    private var name: String { context.pick(choices) ?? "l" }

    private func step() async {
        switch context.random.below(16) {
        case 0...2: await make()
        case 3...5: await hold()
        case 6...8: if let file = context.pick(held) { await ledger.read(file.inode, file.handle, context.files, context.client, losses: file.losses) }
        case 9: await letGo()
        case 10...11: await names.unlink(context.area, name)
        case 12: await names.rename(context.area, name, to: context.area, name, mode: .replace)
        case 13:
            if let file = await names.lookup(context.area, name) { _ = await names.link(file.inode, context.area, name) }
        case 14: if let file = context.pick(held) { _ = await names.attributes(file.inode) }
        default: _ = await names.list(context.area)
        }
    }

    /// A file under a name of its own, or under none, which gets one of the shared names and loses its own.
    private func make() async {
        count += 1
        let own = context.once(in: 3) ? nil : "\(context.client).\(count)"
        let made =
            if let own { await names.create(context.area, own, isExclusive: true, flags: O_RDWR) } else {
                await names.createTemporary(context.area, flags: O_RDWR)
            }
        guard let made else { return }
        let inode = made.0.inode
        let cells = context.number(1...(context.once(in: 3) ? 500 : 50))
        let tag = context.recorder.nextTag()
        var isWell = true
        do throws(Errno) {
            _ = try await context.files.write(inode, handle: made.handle, offset: 0, Cells.positioned(tag: tag, place: 0, count: cells))
            try await context.files.sync(inode, handle: made.handle, dataOnly: false)
        } catch { isWell = false }
        if isWell {
            ledger.note(inode, tag: tag, cells: cells)
            if own == nil { await names.link(temporary: inode, context.area, name) } else { _ = await names.link(inode, context.area, name) }
        }
        if let own { await names.unlink(context.area, own) }
        guard context.once(in: 3), isWell else { return await context.files.release(inode, handle: made.handle) }
        held.append(Held(inode: inode, handle: made.handle, losses: context.recorder.lossCount(context.client)))
        if held.count > 4 { await letGo() }
    }

    private func hold() async {
        guard let file = await names.lookup(context.area, name) else { return }
        let losses = context.recorder.lossCount(context.client)
        guard let handle = try? await context.files.open(file.inode, flags: O_RDONLY).handle else { return }
        held.append(Held(inode: file.inode, handle: handle, losses: losses))
        if held.count > 4 { await letGo() }
    }

    private func letGo() async {
        guard !held.isEmpty else { return }
        let file = held.removeFirst()
        await ledger.read(file.inode, file.handle, context.files, context.client, losses: file.losses)
        await context.files.release(file.inode, handle: file.handle)
    }
}
