import Bytes
import Runtime

/// Reads blocks out of the segment files of daemons of the same machine. Keeps a few files open.
///
/// A segment that was compacted is gone or, under an open descriptor, still there with its old content: a block read from it is right or its key
/// does not match, and then the caller asks the daemon.
@LoopActor
final class SegmentReader {
    private static let filesMax = 16
    private let disk: any Disk
    private var files: [String: any DiskFile] = [:]
    /// In the order of opening.
    private var paths: [String] = []

    init(disk: any Disk) { self.disk = disk }

    /// The bytes at `place`; nil where they cannot be read here.
    func read(_ place: BlockPlaceReply) async -> Slice? {
        guard !place.path.isEmpty, place.length > 0, Int(place.length) <= BlockLimits.blockSizeMax else { return nil }
        do throws(DiskError) {
            let file = try await open(place.path)
            let buffer = try await file.read(at: place.offset, count: Int(place.length))
            return buffer.count == Int(place.length) ? buffer.slice : nil
        } catch { return nil }
    }

    private func open(_ path: String) async throws(DiskError) -> any DiskFile {
        if let file = files[path] { return file }
        let file = try await disk.open(path, .existing)
        if let other = files[path] { return other }
        files[path] = file
        paths.append(path)
        if paths.count > Self.filesMax { files[paths.removeFirst()] = nil }
        return file
    }
}
