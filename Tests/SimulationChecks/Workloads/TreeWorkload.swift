import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Random operations on names and on the content of files, in a small tree that all clients share.
@LoopActor
package final class TreeWorkload: Workload {
    private let context: WorkloadContext
    private let names: RecordedNames
    private let content: RecordedContent
    private var directories: [InodeID]
    private let fileNames: [String]
    private let directoryNames = ["d0", "d1"]
    /// A file that stays open for a while.
    private var held: OpenedFile?

    package init(_ context: WorkloadContext) {
        self.context = context
        let nameLedger = context.recorder.ledger("tree names") { NameLedger(area: "tree", root: context.area, recorder: context.recorder) }
        let contentLedger = context.recorder.ledger("tree content") { ContentLedger(area: "tree", recorder: context.recorder) }
        names = RecordedNames(context.files, context.client, nameLedger)
        content = RecordedContent(context.files, context.client, contentLedger)
        fileNames = (0..<1 + context.size).map { "f\($0)" }
        directories = [context.area]
    }

    package func run(until deadline: UInt64) async {
        await context.loop(until: deadline, step)
        if let held { await content.close(held) }
    }

    private var parent: InodeID { context.once(in: 2) ? context.area : context.pick(directories) ?? context.area }
    private var name: String { context.pick(fileNames) ?? "f" }
    private var anyName: String { context.pick(fileNames + directoryNames) ?? "f" }

    private func learn(_ attributes: Attributes?) {
        guard let attributes, attributes.kind == .directory, !directories.contains(attributes.inode) else { return }
        if directories.count > 3 { directories.remove(at: 1) }
        directories.append(attributes.inode)
    }

    private func step() async {
        switch context.random.below(20) {
        case 0...9: await use()
        case 10: learn(await names.makeDirectory(context.area, context.pick(directoryNames) ?? "d0"))
        case 11: if context.once(in: 3) { await names.removeDirectory(context.area, anyName) }
        case 12: await names.unlink(parent, name)
        case 13...14: await names.rename(parent, anyName, to: parent, anyName, mode: .replace)
        case 15: await names.rename(parent, anyName, to: parent, anyName, mode: context.once(in: 2) ? .noReplace : .exchange)
        case 16:
            if let file = await names.lookup(parent, name), file.kind == .file { _ = await names.link(file.inode, parent, name) }
        case 17: learn(await names.lookup(parent, anyName))
        case 18: if context.once(in: 2) { await readAll() } else { _ = await names.list(parent) }
        default: if let inode = context.pick(directories) { learn(await names.attributes(inode)) }
        }
    }

    /// Opens a file, does a few things with it, closes it or keeps it open for the next time.
    private func use() async {
        let kept = held
        held = nil
        var opened = kept
        if opened == nil { opened = await open() }
        guard let opened else { return }
        await change(opened)
        if context.once(in: 2) { held = opened } else { await content.close(opened) }
    }

    /// Reads all files of a directory in the order in which they are listed, as `grep -r` does.
    private func readAll() async {
        for entry in await names.list(parent, plus: true) ?? [] {
            guard let file = await content.open(entry.inode, flags: O_RDONLY) else { continue }
            await content.read(file, start: 0, count: 1 << 16)
            await content.close(file)
        }
    }

    private func open() async -> OpenedFile? {
        let flags = O_RDWR | (context.once(in: 8) ? O_DSYNC : 0)
        if context.once(in: 3) {
            guard let made = await names.create(parent, name, isExclusive: context.once(in: 3), flags: flags) else { return nil }
            return content.adopt(made.0.inode, made.handle, flags: flags)
        }
        guard let found = await names.lookup(parent, name), found.kind == .file else { return nil }
        return await content.open(found.inode, flags: flags)
    }

    private func change(_ file: OpenedFile) async {
        // Sizes on both sides of the inline limit.
        let span: UInt32 = context.once(in: 3) ? 600 : 60
        for _ in 0...context.random.below(4) {
            switch context.random.below(12) {
            case 0...3: await content.write(file, start: context.number(0...span), count: context.number(1...span / 4))
            case 4...7: await content.read(file, start: context.number(0...span), count: context.number(1...span))
            case 8: await content.read(file, start: 0, count: 1200)
            case 9: await content.truncate(file, to: context.number(0...span))
            case 10: if context.once(in: 2) { await content.clear(file, start: context.number(0...span), count: context.number(1...span)) }
            default: _ = await content.size(file.inode)
            }
            if context.once(in: 5) { await content.sync(file) }
            if context.once(in: 3) { await context.think() }
        }
    }
}
