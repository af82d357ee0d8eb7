import Bytes
package import Filesystem
package import Model
package import Runtime

/// Files whose content never changes after they have a name, so that whoever has one open can tell whether it is still right, also when it
/// has no name any more.
@LoopActor
package final class OrphanLedger: Ledger {
    package let area: String
    package let recorder: Recorder
    private var contents: [InodeID: (tag: UInt64, cells: UInt32)] = [:]
    private var reads = 0
    private var failures = 0

    package init(area: String, recorder: Recorder) {
        self.area = area
        self.recorder = recorder
    }

    package func note(_ inode: InodeID, tag: UInt64, cells: UInt32) { contents[inode] = (tag, cells) }

    /// Reads through a handle.
    /// - Parameter losses: `Recorder.lossCount` of the client before it opened the file. A session that is lost gives up what was open.
    package func read(_ inode: InodeID, _ handle: UInt64, _ files: any FileOperations, _ client: ClientID, losses: Int) async {
        guard let content = contents[inode] else { return }
        reads += 1
        let slices: [Slice]
        do throws(Errno) { slices = try await files.read(inode, handle: handle, offset: 0, count: 1 << 20) } catch {
            failures += 1
            guard !error.isUncertain, recorder.lossCount(client) == losses else { return }
            return violate(inode, client, "errno \(error.rawValue) for a file that is open")
        }
        guard let found = Cells.runs(slices, at: 0) else { return violate(inode, client, "bytes that nobody wrote there") }
        let expected = [CellMap.Run(start: 0, end: content.cells, tag: content.tag, origin: 0)]
        if found.count != content.cells || found.runs != expected {
            violate(inode, client, "\(found.count) cells \(CellMap.describe(found.runs)) in place of \(content.cells) of w\(content.tag)")
        }
    }

    private func violate(_ inode: InodeID, _ client: ClientID, _ what: String) {
        recorder.violate(Violation(.orphan, "\(area), inode \(inode)", "\(client) at \(recorder.stamp()): \(what)"))
    }

    package func readFinal(_ reader: FinalReader) async {}

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        report.operations = reads
        report.failed = failures
        return report
    }
}
