import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Makes, links, moves and removes a few names in a few directories that all clients share. Names are the same for files, directories and
/// symlinks, so that every error comes up.
@LoopActor
package final class StormWorkload: Workload {
    private let context: WorkloadContext
    private let names: RecordedNames
    private let choices: [String]
    /// Directories that were seen, the area first. Some are gone by now.
    private var directories: [InodeID]
    /// Other inodes that were seen.
    private var others: [InodeID] = []

    package init(_ context: WorkloadContext) {
        self.context = context
        let ledger = context.recorder.ledger("storm") { NameLedger(area: "storm", root: context.area, recorder: context.recorder) }
        names = RecordedNames(context.files, context.client, ledger)
        choices = (0..<3 + context.size).map { "n\($0)" }
        directories = [context.area]
    }

    package func run(until deadline: UInt64) async { await context.loop(until: deadline, step) }

    private func learn(_ attributes: Attributes?) {
        guard let attributes else { return }
        if attributes.kind == .directory {
            guard !directories.contains(attributes.inode) else { return }
            if directories.count > 4 { directories.remove(at: 1) }
            directories.append(attributes.inode)
        } else {
            guard !others.contains(attributes.inode) else { return }
            if others.count > 5 { others.removeFirst() }
            others.append(attributes.inode)
        }
    }

    private var name: String { context.pick(choices) ?? "n" }

    /// Mostly the area, so that clients meet.
    private var parent: InodeID {
        if context.once(in: 60), let other = context.pick(others) { return other }
        return context.once(in: 2) ? context.area : context.pick(directories) ?? context.area
    }

    private func step() async {
        switch context.random.below(24) {
        case 0...3: await make()
        case 4...5: learn(await names.makeDirectory(parent, name))
        case 6: learn(await names.makeSymlink(parent, name, target: "t\(context.recorder.nextTag())"))
        case 7...8: if let inode = context.pick(others) { learn(await names.link(inode, parent, name)) }
        case 9...11: await names.unlink(parent, name)
        case 12...13: await names.removeDirectory(parent, name)
        case 14...16: await names.rename(parent, name, to: parent, name, mode: .replace)
        case 17:
            await names.rename(parent, name, to: parent, name, mode: context.once(in: 2) ? .noReplace : .exchange)
        case 18...20: learn(await names.lookup(parent, name))
        case 21: if context.once(in: 2) { await walk(context.area, looksUp: context.once(in: 2)) } else { _ = await names.list(parent) }
        case 22: if let inode = context.pick(directories + others) { learn(await names.attributes(inode)) }
        default: if let inode = context.pick(others) { _ = await names.target(inode) }
        }
    }

    /// Lists directories one after the other, with all that is in them, as `find` does; perhaps asking for every name, as `ls -lR` does.
    private func walk(_ directory: InodeID, looksUp: Bool, depth: Int = 0) async {
        for entry in await names.list(directory, plus: true) ?? [] {
            if looksUp { learn(await names.lookup(directory, entry.name)) }
            if entry.kind == .directory, depth < 2 { await walk(entry.inode, looksUp: looksUp, depth: depth + 1) }
        }
    }

    private func make() async {
        guard let made = await names.create(parent, name, isExclusive: context.once(in: 2), flags: O_RDWR) else { return }
        learn(made.0)
        if context.once(in: 2) { await context.think() }
        await context.files.release(made.0.inode, handle: made.handle)
    }
}
