import Bytes
import Filesystem
import Glibc
import Model
import Namespace
package import Runtime

/// Replaces a file by write-temp-then-rename, mostly with an fsync between, and reads it.
@LoopActor
package final class RegisterWorkload: Workload {
    private let context: WorkloadContext
    private let ledger: RegisterLedger

    package init(_ context: WorkloadContext) {
        self.context = context
        ledger = context.recorder.ledger("register") {
            RegisterLedger(area: "register", directory: context.area, recorder: context.recorder)
        }
    }

    package func run(until deadline: UInt64) async {
        await context.loop(until: deadline) {
            if context.once(in: 3) { await replace() } else { await ledger.read(context.files, context.client) }
        }
    }

    private func replace() async {
        let cells = context.number(1...(context.once(in: 3) ? 900 : 200))
        let version = ledger.newVersion(cells: cells)
        let temporary = Array("tmp.\(version)".utf8)
        guard await write(temporary, version, cells) else {
            _ = try? await context.files.unlink(context.area, temporary)
            return
        }
        let call = ledger.history.begin(context.client, .replace(version))
        do throws(Errno) {
            try await context.files.rename(context.area, temporary, to: context.area, Array(RegisterLedger.name.utf8), mode: .replace)
            ledger.history.end(call, version)
            guard context.once(in: 2) else { return }
            let called = context.recorder.stamp()
            guard (try? await context.files.syncDirectory(context.area)) != nil else { return }
            context.recorder.noteSynced(context.client, called: called)
        } catch {
            // Nobody else knows of the temporary file, so nothing but a fault can keep it from being renamed.
            guard !error.isUncertain else { return }
            context.recorder.violate(
                Violation(
                    .error, "register", "rename of version \(version) by \(context.client) at \(context.recorder.stamp()): errno \(error.rawValue)"))
        }
    }

    /// In a few writes, so that a part could be seen.
    private func write(_ name: [UInt8], _ version: UInt64, _ cells: UInt32) async -> Bool {
        let files = context.files
        do throws(Errno) {
            let (entry, open) = try await files.create(
                context.area, name, mode: 0o644, flags: O_WRONLY | O_EXCL, Caller(uid: 1000, gid: 1000))
            let inode = entry.attributes.inode
            context.recorder.created(inode, context.client, "register/tmp.\(version)")
            files.forget(inode, count: 1)
            var isWell = true
            do throws(Errno) {
                var place: UInt32 = 0
                while place < cells {
                    let count = min(cells - place, context.number(1...400))
                    let bytes = Cells.positioned(tag: version, place: place, count: count)
                    _ = try await files.write(inode, handle: open.handle, offset: UInt64(place) * UInt64(Cells.bytes), bytes)
                    place += count
                    if context.once(in: 4) { await context.think() }
                }
                if !context.once(in: 3) { try await files.sync(inode, handle: open.handle, dataOnly: context.once(in: 2)) }
                try await files.flush(inode, handle: open.handle)
            } catch { isWell = false }
            await files.release(inode, handle: open.handle)
            return isWell
        } catch { return false }
    }
}
