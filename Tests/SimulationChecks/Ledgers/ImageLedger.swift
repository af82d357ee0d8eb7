import Bytes
package import Filesystem
import Glibc
package import Model
import Namespace
package import Runtime

/// Files of one writer each, byte by byte: any offset and length. Other clients may read them while the writer rests.
@LoopActor
package final class ImageLedger: Ledger {
    package let area: String
    package let recorder: Recorder
    private var images: [InodeID: ByteImage] = [:]
    private var reads = 0
    private var failures = 0

    package init(area: String, recorder: Recorder) {
        self.area = area
        self.recorder = recorder
    }

    package func image(_ inode: InodeID) -> ByteImage {
        if let known = images[inode] { return known }
        let image = ByteImage()
        images[inode] = image
        return image
    }

    package var files: [InodeID] { images.keys.sorted() }

    /// Reads a range through a handle and compares it with what the writer left there.
    package func read(
        _ inode: InodeID, _ handle: UInt64, offset: UInt64, count: Int, _ files: any FileOperations, _ client: ClientID, isOwner: Bool,
        isFinal: Bool = false
    ) async {
        let image = image(inode)
        let version = image.version
        let losses = recorder.lossCount(client)
        reads += 1
        let bytes: [UInt8]
        do throws(Errno) {
            let slices = try await files.read(inode, handle: handle, offset: offset, count: count)
            bytes = slices.count == 1 ? slices[0].array : slices.flatMap(\.array)
        } catch {
            failures += 1
            if isFinal { violate(.error, inode, client, "cannot read \(count) bytes at \(offset): errno \(error.rawValue)") }
            return
        }
        // Only what did not change during the read can be compared.
        guard image.version == version, !isOwner || recorder.lossCount(client) == losses && !image.isDoubtful else { return }
        if let place = image.mismatch(bytes, at: offset, wanted: count, isExact: isOwner, overLoss: isOverLoss(image)) {
            violate(.content, inode, client, "read \(bytes.count) bytes at \(offset)\(isOwner ? " of its own file" : ""): \(place); \(image.summary)")
        }
    }

    /// After changes may have been lost: finds out what is left, by reading everything that was ever written.
    /// - Returns: whether the image is sure again.
    package func settle(_ inode: InodeID, _ handle: UInt64, _ files: any FileOperations, _ client: ClientID, isFinal: Bool = false) async -> Bool {
        let image = image(inode)
        let version = image.version
        let losses = image.writer.map { recorder.lossCount($0.client) } ?? 0
        do throws(Errno) {
            let size = try await files.attributes(inode).attributes.size
            var parts: [(offset: UInt64, bytes: [UInt8])] = []
            for range in image.touched {
                let slices = try await files.read(inode, handle: handle, offset: range.lowerBound, count: Int(range.upperBound - range.lowerBound))
                parts.append((range.lowerBound, slices.flatMap(\.array)))
            }
            guard image.version == version else { return false }
            guard image.adopt(size: size, losses: losses, parts) else {
                violate(.notPrefix, inode, client, "what is left of \(image.pending) un-synced changes is no prefix of them: size \(size)")
                return false
            }
            return true
        } catch {
            failures += 1
            if isFinal, error != .stale, error != .notFound { violate(.error, inode, client, "cannot be read: errno \(error.rawValue)") }
            return false
        }
    }

    /// Whether the writer has lost something since its image was last sure.
    package func isOverLoss(_ image: ByteImage) -> Bool { image.writer.map { recorder.lossCount($0.client) != $0.losses } ?? false }

    private func violate(_ rule: Violation.Rule, _ inode: InodeID, _ client: ClientID, _ what: String) {
        recorder.violate(Violation(rule, "\(area), inode \(inode)", "\(client) at \(recorder.stamp()): \(what)"))
    }

    package func readFinal(_ reader: FinalReader) async {
        for inode in files {
            guard let handle = try? await reader.files.open(inode, flags: O_RDONLY).handle else { continue }
            if image(inode).pending > 0 || image(inode).isDoubtful {
                _ = await settle(inode, handle, reader.files, reader.client, isFinal: true)
            } else {
                for range in image(inode).touched {
                    await read(
                        inode, handle, offset: range.lowerBound, count: Int(range.upperBound - range.lowerBound) + 1, reader.files,
                        reader.client, isOwner: false, isFinal: true)
                }
            }
            await reader.files.release(inode, handle: handle)
        }
    }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        report.operations = reads
        report.failed = failures
        return report
    }
}
