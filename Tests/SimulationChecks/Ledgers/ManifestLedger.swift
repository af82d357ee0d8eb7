import Bytes
package import Filesystem
import Glibc
package import Model
import Namespace
package import Runtime

/// Files that were acknowledged as durable: written once, synced, never changed again; some are removed. Whatever dies, they are there.
///
/// A promise holds from the moment at which it was made, so every client may look at any time.
@LoopActor
package final class ManifestLedger: Ledger {
    /// What was promised of a name.
    package enum Promise: Equatable, Sendable {
        /// There is the file with this inode, and so many cells of one write.
        case present(InodeID, tag: UInt64, cells: UInt32)
        /// The name is gone.
        case absent
        /// A call on it is under way or was not answered.
        case open
    }

    package let area: String
    package let directory: InodeID
    package let recorder: Recorder
    private var promises: [String: Promise] = [:]
    private var checks = 0

    package init(area: String, directory: InodeID, recorder: Recorder) {
        self.area = area
        self.directory = directory
        self.recorder = recorder
    }

    package func promise(_ name: String, _ promise: Promise) { promises[name] = promise }

    /// Names with a promise, sorted.
    package var names: [String] { promises.keys.sorted() }

    /// How many files were acknowledged as durable: a run without any proves nothing.
    package var durable: Int {
        promises.values.count { if case .present = $0 { true } else { false } }
    }

    /// Looks whether a promise is kept. An error that may come from faults says nothing, unless there are none any more.
    package func verify(_ name: String, _ files: any FileOperations, _ client: ClientID, isFinal: Bool = false) async {
        guard let promise = promises[name], promise != .open else { return }
        checks += 1
        let problem: String?
        var rule = Violation.Rule.lost
        do throws(Errno) {
            let entry = try await files.lookup(directory, Array(name.utf8))
            files.forget(entry.attributes.inode, count: 1)
            switch promise {
            case .present(let inode, let tag, let cells):
                problem =
                    entry.attributes.inode == inode
                    ? try await compare(inode, tag, cells, files) : "leads to inode \(entry.attributes.inode) in place of \(inode)"
            case .absent:
                rule = .resurrected
                problem = "was removed, but leads to inode \(entry.attributes.inode)"
            case .open: problem = nil
            }
        } catch {
            switch (error, promise) {
            case (.notFound, .absent): problem = nil
            case (.notFound, _), (.stale, _): problem = "is gone (errno \(error.rawValue))"
            default: problem = isFinal ? "cannot be read: errno \(error.rawValue)" : nil
            }
        }
        // Meanwhile somebody may have removed it.
        guard let problem, promises[name] == promise else { return }
        recorder.violate(Violation(rule, "\(area)/\(name)", "\(client) at \(recorder.stamp()): \(problem)"))
    }

    private func compare(_ inode: InodeID, _ tag: UInt64, _ cells: UInt32, _ files: any FileOperations) async throws(Errno) -> String? {
        let handle = try await files.open(inode, flags: O_RDONLY).handle
        let result: Result<[Slice], Errno>
        do throws(Errno) { result = .success(try await files.read(inode, handle: handle, offset: 0, count: 1 << 20)) } catch {
            result = .failure(error)
        }
        await files.release(inode, handle: handle)
        guard let found = Cells.runs(try result.get(), at: 0) else { return "has bytes that nobody wrote there" }
        let expected = cells == 0 ? [] : [CellMap.Run(start: 0, end: cells, tag: tag, origin: 0)]
        return found.count == cells && found.runs == expected
            ? nil : "has \(found.count) cells \(CellMap.describe(found.runs)) in place of \(cells) of w\(tag)"
    }

    package func readFinal(_ reader: FinalReader) async {
        for name in names { await verify(name, reader.files, reader.client, isFinal: true) }
    }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        report.operations = checks
        report.open = promises.values.count { $0 == .open }
        return report
    }
}
