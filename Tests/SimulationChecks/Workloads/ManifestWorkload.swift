import Bytes
import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Writes files and makes them durable in different ways; then they go into the manifest. Some are renamed or removed. Looks at any time at
/// what anybody has in the manifest.
@LoopActor
package final class ManifestWorkload: Workload {
    private struct Mine {
        var name: String
        var inode: InodeID
        var tag: UInt64
        var cells: UInt32
    }

    private let context: WorkloadContext
    private let ledger: ManifestLedger
    private var mine: [Mine] = []
    private var count = 0

    package init(_ context: WorkloadContext) {
        self.context = context
        ledger = context.recorder.ledger("manifest") {
            ManifestLedger(area: "manifest", directory: context.area, recorder: context.recorder)
        }
    }

    package func run(until deadline: UInt64) async {
        await context.loop(until: deadline) {
            switch context.random.below(10) {
            case 0...4: await make()
            case 5: await move()
            case 6: await remove()
            default: if let name = context.pick(ledger.names) { await ledger.verify(name, context.files, context.client) }
            }
        }
    }

    private func freshName() -> String {
        count += 1
        return "\(context.client).\(count)"
    }

    private func make() async {
        let files = context.files
        let name = freshName()
        let cells = context.number(0...(context.once(in: 3) ? 800 : 100))
        let tag = context.recorder.nextTag()
        let way = context.random.below(4)
        do throws(Errno) {
            let (entry, open) = try await files.create(
                context.area, Array(name.utf8), mode: 0o600, flags: O_RDWR | O_EXCL | (way == 0 ? O_DSYNC : 0), Caller(uid: 1000, gid: 1000))
            let inode = entry.attributes.inode
            context.recorder.created(inode, context.client, "manifest/\(name)")
            files.forget(inode, count: 1)
            var failure: Errno?
            do throws(Errno) {
                // The second half comes first: until it is durable nothing is promised.
                for (start, end) in [(cells / 2, cells), (0, cells / 2)] where start < end {
                    let bytes = Cells.positioned(tag: tag, place: start, count: end - start)
                    _ = try await files.write(inode, handle: open.handle, offset: UInt64(start) * UInt64(Cells.bytes), bytes)
                    if context.once(in: 4) { await context.think() }
                }
                switch way {
                // Opened with O_DSYNC, and so synced by each write.
                case 0 where cells > 0: break
                case 1: try await files.syncAll()
                default: try await files.sync(inode, handle: open.handle, dataOnly: way == 2)
                }
                // Written without a sync, or synced by sync(2), an error of the background is told here.
                try await files.flush(inode, handle: open.handle)
            } catch { failure = error }
            await files.release(inode, handle: open.handle)
            guard failure == nil else { return }
            ledger.promise(name, .present(inode, tag: tag, cells: cells))
            mine.append(Mine(name: name, inode: inode, tag: tag, cells: cells))
        } catch { return }
    }

    private func move() async {
        guard !mine.isEmpty else { return }
        let place = context.random.below(mine.count)
        let file = mine.remove(at: place)
        let newName = freshName()
        ledger.promise(file.name, .open)
        do throws(Errno) {
            try await context.files.rename(context.area, Array(file.name.utf8), to: context.area, Array(newName.utf8), mode: .noReplace)
        } catch { return report(error, "rename of \(file.name)") }
        guard await isDurable() else { return }
        ledger.promise(file.name, .absent)
        ledger.promise(newName, .present(file.inode, tag: file.tag, cells: file.cells))
        mine.append(Mine(name: newName, inode: file.inode, tag: file.tag, cells: file.cells))
    }

    private func remove() async {
        guard mine.count > 2 else { return }
        let file = mine.remove(at: context.random.below(mine.count))
        ledger.promise(file.name, .open)
        do throws(Errno) { try await context.files.unlink(context.area, Array(file.name.utf8)) } catch {
            return report(error, "unlink of \(file.name)")
        }
        if await isDurable() { ledger.promise(file.name, .absent) }
    }

    /// Makes names durable, in one of two ways, or does not.
    private func isDurable() async -> Bool {
        switch context.random.below(5) {
        case 0: false
        case 1...2: (try? await context.files.syncAll()) != nil
        default: (try? await context.files.syncDirectory(context.area)) != nil
        }
    }

    /// Nobody else touches these names.
    private func report(_ error: Errno, _ what: String) {
        guard !error.isUncertain else { return }
        context.recorder.violate(
            Violation(.error, "manifest", "\(what) by \(context.client) at \(context.recorder.stamp()): errno \(error.rawValue)"))
    }
}
