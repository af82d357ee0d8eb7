import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Changes and shows modes, owners, times and extended attributes of a few files and a directory.
@LoopActor
package final class AttributeWorkload: Workload {
    private let context: WorkloadContext
    private let ledger: AttributeLedger
    private var inodes: [InodeID] = []

    package init(_ context: WorkloadContext) {
        self.context = context
        ledger = context.recorder.ledger("attributes") { AttributeLedger(area: "attributes", recorder: context.recorder) }
    }

    package func run(until deadline: UInt64) async {
        await context.loop(until: deadline) {
            if inodes.count < 3 { await open() } else { await step() }
        }
    }

    private func open() async {
        let files = context.files
        let caller = Caller(uid: 1000, gid: 1000)
        if inodes.count == 2 {
            // Somebody else may have made it.
            _ = try? await files.makeDirectory(context.area, Array("d".utf8), mode: 0o755, caller)
            guard let entry = try? await files.lookup(context.area, Array("d".utf8)) else { return }
            files.forget(entry.attributes.inode, count: 1)
            return await use(entry.attributes.inode)
        }
        guard
            let (entry, open) = try? await files.create(
                context.area, Array("a\(inodes.count)".utf8), mode: 0o644, flags: O_RDWR, caller)
        else { return }
        await files.release(entry.attributes.inode, handle: open.handle)
        files.forget(entry.attributes.inode, count: 1)
        await use(entry.attributes.inode)
    }

    /// Once it is durable: from then on it does not go.
    private func use(_ inode: InodeID) async {
        guard (try? await context.files.syncDirectory(context.area)) != nil else { return }
        inodes.append(inode)
    }

    private func step() async {
        guard let inode = context.pick(inodes) else { return }
        let (files, client) = (context.files, context.client)
        let name = "user.x\(context.random.below(3))"
        switch context.random.below(16) {
        case 0...4: await ledger.show(inode, files, client)
        case 5...8: await ledger.change(inode, change(), files, client)
        case 9...11:
            let mode: XattrMode = [.any, .any, .create, .replace][context.random.below(4)]
            await ledger.setExtended(inode, name, context.recorder.nextTag(), mode, files, client)
        case 12: await ledger.removeExtended(inode, name, files, client)
        case 13...14: await ledger.extended(inode, name, files, client)
        default:
            if context.once(in: 2) { await ledger.names(inode, files, client) } else if inode != inodes[2] { await ledger.sync(inode, files, client) }
        }
    }

    private func change() -> AttributeChange {
        var change = AttributeChange()
        let value = context.recorder.nextTag()
        switch context.random.below(4) {
        case 0: change.mode = UInt16(value % 0o1000)
        case 1:
            change.uid = UInt32(truncatingIfNeeded: value)
            change.gid = UInt32(truncatingIfNeeded: value) &+ 1
        case 2: change.modified = Timestamp(value) * 1_000_000_007
        default:
            change.accessed = Timestamp(value) * 1_000_000_009
            change.mode = UInt16(value % 0o1000)
        }
        return change
    }
}
