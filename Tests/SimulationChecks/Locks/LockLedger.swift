import Bytes
package import Filesystem
import Glibc
package import Model
package import Namespace
package import Runtime

/// Advisory locks of a few files, and a value in each that is changed only under an exclusive flock(2) lock.
///
/// Whoever was granted a lock may believe that it has it until it gives it up, or until its session may have ended: of that it may learn late, and what it
/// writes then must be refused.
@LoopActor
package final class LockLedger: Ledger {
    /// A lock that somebody believes to have.
    package struct Hold: Sendable {
        var client: ClientID
        var name: String
        var lock: FileLock
        var granted: Moment
    }

    private struct Clash {
        var first: Hold
        var second: Hold
    }

    package static let names = ["lock0", "lock1"]

    package let area: String
    package let directory: InodeID
    package let recorder: Recorder
    private var histories: [String: History<LockedModel.Call, UInt64>] = [:]
    private var holds: [UInt64: Hold] = [:]
    private var lastHold: UInt64 = 0
    private var clashes: [Clash] = []
    package private(set) var grants = 0

    package init(area: String, directory: InodeID, recorder: Recorder) {
        self.area = area
        self.directory = directory
        self.recorder = recorder
        for name in Self.names { histories[name] = History(recorder) }
    }

    package func history(_ name: String) -> History<LockedModel.Call, UInt64> { histories[name] ?? History(recorder) }

    /// A lock was granted by a call that began at `called`. Owners of different clients are different, whatever their ids.
    package func granted(_ client: ClientID, _ name: String, _ lock: FileLock, called: Moment) -> UInt64 {
        let hold = Hold(client: client, name: name, lock: lock, granted: recorder.stamp())
        recorder.noteAlive(client, called)
        for other in holds.values where conflicts(other, hold) { clashes.append(Clash(first: other, second: hold)) }
        lastHold += 1
        holds[lastHold] = hold
        grants += 1
        return lastHold
    }

    /// The lock is about to be given up.
    package func givesUp(_ hold: UInt64) { holds[hold] = nil }

    private func conflicts(_ one: Hold, _ other: Hold) -> Bool {
        guard one.name == other.name, one.client != other.client || one.lock.owner != other.lock.owner else { return false }
        guard one.lock.owner.family == other.lock.owner.family, one.lock.range.overlaps(other.lock.range) else { return false }
        return one.lock.mode == .exclusive || other.lock.mode == .exclusive
    }

    /// What the file holds; nil after an error or where there is something else, which is a violation.
    package func value(_ files: any FileOperations, _ inode: InodeID, _ handle: UInt64, _ client: ClientID) async throws(Errno) -> UInt64? {
        let slices = try await files.read(inode, handle: handle, offset: 0, count: 4096)
        guard let found = Cells.runs(slices, at: 0), found.count <= 1, found.runs.count == Int(found.count) else {
            recorder.violate(Violation(.neverWritten, "\(area), inode \(inode)", "\(client) read something that nobody wrote at \(recorder.stamp())"))
            return nil
        }
        return found.runs.first?.tag ?? 0
    }

    /// Reads the values, and looks whether all locks are free: also those of clients that died.
    package func readFinal(_ reader: FinalReader) async {
        for name in Self.names {
            do throws(Errno) {
                let entry: EntryReply
                do throws(Errno) { entry = try await reader.files.lookup(directory, Array(name.utf8)) } catch {
                    if error == .notFound { continue }
                    throw error
                }
                let inode = entry.attributes.inode
                defer { reader.files.forget(inode, count: 1) }
                let handle = try await reader.files.open(inode, flags: O_RDWR).handle
                for family in LockFamily.allCases {
                    let limit = Interrupt()
                    let timer = recorder.clock.schedule(after: 60 * Nanoseconds.second) { limit.raise() }
                    do throws(Errno) {
                        let lock = FileLock(LockOwner(family, 1), process: 1, whole: .exclusive)
                        try await reader.files.setLock(inode, handle: handle, lock, waits: true, interrupt: limit)
                    } catch {
                        recorder.violate(Violation(.locks, "\(area)/\(name)", "in the end the \(family) lock is not free: errno \(error.rawValue)"))
                    }
                    timer.cancel()
                }
                let call = history(name).begin(reader.client, .read)
                history(name).end(call, try await value(reader.files, inode, handle, reader.client))
                await reader.files.closeLocks(inode, owner: 1)
                await reader.files.release(inode, handle: handle)
            } catch {
                recorder.violate(Violation(.error, "\(area)/\(name)", "cannot be read in the end: errno \(error.rawValue)"))
            }
        }
    }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        for clash in clashes where !isVoid(clash.first, at: clash.second.granted) && !isVoid(clash.second, at: clash.second.granted) {
            report.violations.append(
                Violation(.locks, "\(area)/\(clash.first.name)", ["two have it at \(clash.second.granted):", describe(clash.first), describe(clash.second)]))
        }
        for name in Self.names {
            let operations = history(name).operations
            report.operations += operations.count
            report.open += operations.count { $0.outcome == nil }
            let judged = operations.filter {
                if case .section(found: nil, _) = $0.call { return false }
                return $0.outcome != nil || $0.call != .read
            }
            report.add(Linearizability.check(LockedModel(), judged, bound: bound), .locks, "\(area)/\(name)")
        }
        return report
    }

    /// Whether the holder's session may have ended between its grant and `moment`.
    private func isVoid(_ hold: Hold, at moment: Moment) -> Bool {
        recorder.losses.contains { $0.client == hold.client && $0.cause != .dropped && $0.cause != .names && $0.noticed > hold.granted && $0.from <= moment }
    }

    private func describe(_ hold: Hold) -> String {
        let mode = hold.lock.mode == .exclusive ? "exclusive" : "shared"
        return "\(hold.client), owner \(hold.lock.owner.id), \(mode) \(hold.lock.owner.family) \(hold.lock.range.first)…\(hold.lock.range.last), since \(hold.granted)"
    }
}
