import Bytes
package import Filesystem
import Glibc
package import Model
import Namespace
package import Runtime

/// A file in a directory that is replaced by write-temp-then-rename, never changed in place.
@LoopActor
package final class RegisterLedger: Ledger {
    package static let name = "register"

    package let area: String
    package let directory: InodeID
    package let recorder: Recorder
    package let history: History<RegisterModel.Call, UInt64>
    /// Cells of each version.
    private var versions: [UInt64: UInt32] = [:]

    package init(area: String, directory: InodeID, recorder: Recorder) {
        self.area = area
        self.directory = directory
        self.recorder = recorder
        history = History(recorder)
    }

    package func newVersion(cells: UInt32) -> UInt64 {
        let version = recorder.nextTag()
        versions[version] = cells
        return version
    }

    /// Looks the name up, reads the file as a whole, and notes what it found; nil where an error kept it from that.
    @discardableResult
    package func read(_ files: any FileOperations, _ client: ClientID) async -> UInt64? {
        let call = history.begin(client, .read)
        do throws(Errno) {
            let entry: EntryReply
            do throws(Errno) { entry = try await files.lookup(directory, Array(Self.name.utf8)) } catch {
                if error == .notFound { history.end(call, 0) }
                return nil
            }
            let inode = entry.attributes.inode
            defer { files.forget(inode, count: 1) }
            recorder.saw(entry.attributes, client, area)
            let handle = try await files.open(inode, flags: O_RDONLY).handle
            var slices: Result<[Slice], Errno>
            do throws(Errno) { slices = .success(try await files.read(inode, handle: handle, offset: 0, count: 1 << 20)) } catch {
                slices = .failure(error)
            }
            await files.release(inode, handle: handle)
            guard let version = check(try slices.get(), inode, client) else { return nil }
            history.end(call, version)
            return version
        } catch { return nil }
    }

    /// A complete version, nothing else.
    private func check(_ slices: [Slice], _ inode: InodeID, _ client: ClientID) -> UInt64? {
        if let found = Cells.runs(slices, at: 0), found.runs.count == 1, let run = found.runs.first, let cells = versions[run.tag],
            run.start == 0, run.end == cells, found.count == cells
        {
            return run.tag
        }
        let what = Cells.runs(slices, at: 0).map { "\($0.count) cells \(CellMap.describe($0.runs))" } ?? "other bytes"
        recorder.violate(Violation(.halfWritten, "\(area)/\(Self.name), inode \(inode)", "\(client) read \(what) at \(recorder.stamp())"))
        return nil
    }

    package func readFinal(_ reader: FinalReader) async { await read(reader.files, reader.client) }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        report.operations = history.operations.count
        report.open = history.operations.count { $0.outcome == nil }
        let binding = history.operations(writtenBehind: { $0 != .read }, changes: { $0 != .read }, hasFailed: { _ in false })
        let judged = binding.filter { $0.outcome != nil || $0.call != .read }
        report.add(Linearizability.check(RegisterModel(), judged, bound: bound), .register, "\(area)/\(Self.name)")
        return report
    }
}
