import Bytes
import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Sequential and random input and output of any offset and length on files of its own, around the sizes where storage changes: what lies
/// in
/// the inode, blocks, regions; with holes and truncation. Looks at the files of others as well.
@LoopActor
package final class ImageWorkload: Workload {
    private struct Open {
        var inode: InodeID
        var handle: UInt64
    }

    private let context: WorkloadContext
    private let ledger: ImageLedger
    private var open: [Open] = []
    private var count = 0
    /// What was read last: it is read again from time to time, with what was written in between.
    private var last: (inode: InodeID, offset: UInt64, count: Int)?

    package init(_ context: WorkloadContext) {
        self.context = context
        ledger = context.recorder.ledger("image") { ImageLedger(area: "image", recorder: context.recorder) }
    }

    package func run(until deadline: UInt64) async {
        await context.loop(until: deadline, step)
        for file in open { await context.files.release(file.inode, handle: file.handle) }
    }

    private func step() async {
        if open.count < 2 { return await make() }
        if context.once(in: 6) { return await look() }
        let file = open[context.random.below(open.count)]
        let image = ledger.image(file.inode)
        if image.isDoubtful || ledger.isOverLoss(image) {
            image.isDoubtful = true
            guard await ledger.settle(file.inode, file.handle, context.files, context.client) else { return }
        }
        await use(file, image)
    }

    private func make() async {
        count += 1
        let name = Array("\(context.client).\(count)".utf8)
        guard
            let (entry, opened) = try? await context.files.create(
                context.area, name, mode: 0o644, flags: O_RDWR | O_EXCL, Caller(uid: 1000, gid: 1000))
        else { return }
        let inode = entry.attributes.inode
        context.recorder.created(inode, context.client, "image/\(context.client).\(count)")
        let block = UInt64(context.blockSize)
        let border = Limits.regionBytes
        // Every other file reaches over the border of a region.
        ledger.image(inode).use(
            count % 2 == 1 ? [0..<min(2 * block + 9000, 1 << 18)] : [0..<6000, border - 6000..<border + 6000], writer: context.client,
            losses: context.recorder.lossCount(context.client))
        open.append(Open(inode: inode, handle: opened.handle))
    }

    /// A place near a size where something changes, in a window.
    private func place(_ image: ByteImage) -> (offset: UInt64, room: Int) {
        guard let window = context.pick(image.windows) else { return (0, 0) }
        let block = UInt64(context.blockSize)
        let borders = [window.lowerBound, UInt64(Limits.inlineBytes), block, 2 * block, Limits.regionBytes, min(image.size, window.upperBound - 1)]
            .filter { window.contains($0) }
        var offset = context.pick(borders) ?? window.lowerBound
        switch context.random.below(4) {
        case 0: break
        case 1: offset -= min(offset - window.lowerBound, UInt64(context.random.below(40)))
        case 2: offset += UInt64(context.random.below(40))
        default: offset = window.lowerBound + UInt64(context.random.below(window.count))
        }
        offset = min(offset, window.upperBound - 1)
        return (offset, Int(window.upperBound - offset))
    }

    private var length: Int { context.random.below([30, 300, 5000, 20_000][context.random.below(4)]) + 1 }

    private func use(_ file: Open, _ image: ByteImage) async {
        let files = context.files
        let (offset, room) = place(image)
        switch context.random.below(12) {
        case 0...4:
            let bytes = context.random.bytes(min(room, length))
            await change(file, image, .write(offset: offset, bytes: bytes)) { () async throws(Errno) in
                _ = try await files.write(file.inode, handle: file.handle, offset: offset, Slice(copying: bytes))
            }
        case 5...7:
            var (offset, count) = (offset, min(room, length))
            if let last, last.inode == file.inode, context.once(in: 2) { (offset, count) = (last.offset, last.count) }
            last = (file.inode, offset, count)
            await ledger.read(file.inode, file.handle, offset: offset, count: count, files, context.client, isOwner: true)
        case 8:
            await change(file, image, .truncate(offset)) { () async throws(Errno) in
                _ = try await files.setAttributes(file.inode, AttributeChange(), size: offset, handle: file.handle)
            }
        case 9:
            let end = min(offset + UInt64(min(room, length)), image.size)
            guard offset < end else { return }
            await change(file, image, .zero(offset..<end)) { () async throws(Errno) in
                try await files.allocate(file.inode, handle: file.handle, mode: 3, offset: offset, length: end - offset)
            }
        default:
            let pending = image.pending
            do throws(Errno) {
                try await files.sync(file.inode, handle: file.handle, dataOnly: context.once(in: 2))
                // If the session was lost meanwhile, what it promises is found out.
                if !ledger.isOverLoss(image) { image.synced(pending) }
            } catch { image.isDoubtful = true }
        }
    }

    private func change(_ file: Open, _ image: ByteImage, _ change: ByteImage.Change, _ body: () async throws(Errno) -> Void) async {
        image.begin(change)
        do throws(Errno) {
            try await body()
            image.end(overLoss: ledger.isOverLoss(image))
        } catch { return }
    }

    /// At a file of anybody.
    private func look() async {
        guard let inode = context.pick(ledger.files), !open.contains(where: { $0.inode == inode }) else { return }
        let image = ledger.image(inode)
        guard let handle = try? await context.files.open(inode, flags: O_RDONLY).handle else { return }
        let (offset, room) = place(image)
        await ledger.read(inode, handle, offset: offset, count: min(room, length), context.files, context.client, isOwner: false)
        await context.files.release(inode, handle: handle)
    }
}
