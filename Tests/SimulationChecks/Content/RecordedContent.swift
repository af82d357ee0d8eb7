import Bytes
package import Filesystem
import Glibc
package import Model
import Namespace
package import Runtime

/// A file that a client has open.
package struct OpenedFile: Sendable {
    package let inode: InodeID
    /// Of the client's filesystem.
    package let handle: UInt64
    /// Of the ledger: no other handle has it.
    package let label: UInt64
    package let flags: Int32
}

/// Calls on content that are noted in a ledger; places and counts in cells. Failures are answered with nil or false; the ledger knows
/// which.
@LoopActor
package final class RecordedContent {
    private let files: any FileOperations
    private let client: ClientID
    private let ledger: ContentLedger

    package init(_ files: any FileOperations, _ client: ClientID, _ ledger: ContentLedger) {
        self.files = files
        self.client = client
        self.ledger = ledger
    }

    /// - Parameter flags: without O_TRUNC, which `truncate` is for.
    package func open(_ inode: InodeID, flags: Int32) async -> OpenedFile? {
        guard let open = try? await files.open(inode, flags: flags) else { return nil }
        return adopt(inode, open.handle, flags: flags)
    }

    /// Takes over a handle that comes from elsewhere, as from a create.
    package func adopt(_ inode: InodeID, _ handle: UInt64, flags: Int32) -> OpenedFile {
        OpenedFile(inode: inode, handle: handle, label: ledger.newHandle(), flags: flags)
    }

    // MARK: Changing

    @discardableResult
    package func write(_ file: OpenedFile, start: UInt32, count: UInt32) async -> Bool {
        let tag = ledger.newTag(file.inode)
        let call = begin(file, .write(start: start, count: count, tag: tag))
        do throws(Errno) {
            let bytes = Cells.positioned(tag: tag, place: start, count: count)
            _ = try await files.write(file.inode, handle: file.handle, offset: UInt64(start) * UInt64(Cells.bytes), bytes)
        } catch { return failed(file.inode, call, error) }
        return done(file.inode, call)
    }

    /// Through a handle with O_APPEND.
    @discardableResult
    package func append(_ file: OpenedFile, count: UInt32) async -> Bool {
        let tag = ledger.newTag(file.inode)
        let call = begin(file, .append(count: count, tag: tag))
        do throws(Errno) {
            // The kernel states the end of the file as it knows it; the filesystem knows better.
            _ = try await files.write(file.inode, handle: file.handle, offset: 0, Cells.appended(tag: tag, count: count))
        } catch { return failed(file.inode, call, error) }
        return done(file.inode, call)
    }

    @discardableResult
    package func truncate(_ file: OpenedFile, to size: UInt32) async -> Bool {
        let call = begin(file, .truncate(size))
        do throws(Errno) {
            _ = try await files.setAttributes(
                file.inode, AttributeChange(), size: UInt64(size) * UInt64(Cells.bytes), handle: file.handle)
        } catch { return failed(file.inode, call, error) }
        return done(file.inode, call)
    }

    /// Punches a hole.
    @discardableResult
    package func clear(_ file: OpenedFile, start: UInt32, count: UInt32) async -> Bool {
        let call = begin(file, .clear(start: start, count: count))
        do throws(Errno) {
            try await files.allocate(
                file.inode, handle: file.handle, mode: 3, offset: UInt64(start) * UInt64(Cells.bytes),
                length: UInt64(count) * UInt64(Cells.bytes))
        } catch { return failed(file.inode, call, error) }
        return done(file.inode, call)
    }

    private func begin(_ file: OpenedFile, _ change: ContentChange) -> Int {
        let call = ContentCall.write(change, handle: file.label, isSynchronous: file.flags & O_DSYNC != 0)
        return ledger.history(file.inode).begin(client, .init(client, call))
    }

    private func done(_ inode: InodeID, _ call: Int) -> Bool {
        ledger.history(inode).end(call, .done)
        return true
    }

    /// Whatever the error: perhaps it was written, and only the sync failed.
    private func failed(_ inode: InodeID, _ call: Int, _ error: Errno) -> Bool {
        if !error.isUncertain, error != .stale {
            ledger.recorder.violate(
                Violation(.error, "\(ledger.area), inode \(inode)", "a change of content by \(client) failed with errno \(error.rawValue)"))
        }
        ledger.history(inode).end(call, nil)
        return false
    }

    // MARK: Looking

    /// - Returns: the runs and the cells read, fewer than asked for at the end of the file.
    @discardableResult
    package func read(_ file: OpenedFile, start: UInt32, count: UInt32) async -> (runs: [CellMap.Run], count: UInt32)? {
        let history = ledger.history(file.inode)
        let call = history.begin(client, .init(client, .read(start: start, count: count)))
        let slices: [Slice]
        do throws(Errno) {
            slices = try await files.read(
                file.inode, handle: file.handle, offset: UInt64(start) * UInt64(Cells.bytes), count: Int(count) * Cells.bytes)
        } catch { return nil }
        guard let found = Cells.runs(slices, at: start), ledger.areOf(file.inode, found.runs) else {
            ledger.recorder.violate(
                Violation(
                    .neverWritten, "\(ledger.area), inode \(file.inode)",
                    "\(client) read cells \(start)..<\(start + count) at \(history.operations[call].called): \(Self.describe(slices, at: start))"))
            return nil
        }
        history.end(call, .read(count: found.count, runs: found.runs))
        return found
    }

    private static func describe(_ slices: [Slice], at place: UInt32) -> String {
        let bytes = slices.reduce(0) { $0 + $1.count }
        guard let found = Cells.runs(slices, at: place) else { return "\(bytes) bytes that are not what anybody wrote there" }
        return "of another file: \(CellMap.describe(found.runs))"
    }

    /// Cells.
    package func size(_ inode: InodeID) async -> UInt32? {
        let history = ledger.history(inode)
        let call = history.begin(client, .init(client, .size))
        guard let size = try? await files.attributes(inode).attributes.size else { return nil }
        guard size % UInt64(Cells.bytes) == 0 else {
            ledger.recorder.violate(Violation(.neverWritten, "\(ledger.area), inode \(inode)", "\(client) sees a size of \(size), which nobody set"))
            return nil
        }
        let cells = UInt32(clamping: size / UInt64(Cells.bytes))
        history.end(call, .size(cells))
        return cells
    }

    // MARK: Syncing

    @discardableResult
    package func sync(_ file: OpenedFile) async -> Bool {
        let history = ledger.history(file.inode)
        let call = history.begin(client, .init(client, .sync(handle: file.label)))
        do throws(Errno) { try await files.sync(file.inode, handle: file.handle, dataOnly: false) } catch {
            history.end(call, .failed(error.rawValue), provesSession: false)
            return false
        }
        history.end(call, .done, provesSession: false)
        return true
    }

    /// flush and release, as close(2) does.
    @discardableResult
    package func close(_ file: OpenedFile) async -> Bool {
        let history = ledger.history(file.inode)
        let call = history.begin(client, .init(client, .close(handle: file.label, mustTell: true)))
        var isWell = true
        do throws(Errno) {
            try await files.flush(file.inode, handle: file.handle)
            history.end(call, .done, provesSession: false)
        } catch {
            history.end(call, .failed(error.rawValue), provesSession: false)
            isWell = false
        }
        await files.release(file.inode, handle: file.handle)
        return isWell
    }
}
