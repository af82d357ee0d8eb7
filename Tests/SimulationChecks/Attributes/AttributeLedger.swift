package import Filesystem
import Glibc
package import Model
package import Namespace
package import Runtime

/// Attributes of the inodes of one area, as all clients see them. Nothing else changes these inodes.
@LoopActor
package final class AttributeLedger: Ledger {
    package typealias InodeHistory = History<AttributeModel.Call, AttributeModel.Outcome>

    package let area: String
    package let recorder: Recorder
    private var histories: [InodeID: InodeHistory] = [:]

    package init(area: String, recorder: Recorder) {
        self.area = area
        self.recorder = recorder
    }

    package func history(_ inode: InodeID) -> InodeHistory {
        if let known = histories[inode] { return known }
        let history = InodeHistory(recorder)
        histories[inode] = history
        return history
    }

    // MARK: Calls, noted

    package func show(_ inode: InodeID, _ files: any FileOperations, _ client: ClientID) async {
        let call = history(inode).begin(client, .init(client, .show))
        guard let attributes = try? await files.attributes(inode).attributes else { return }
        recorder.saw(attributes, client, area)
        history(inode).end(call, .values(AttributeValues(attributes)))
    }

    package func change(_ inode: InodeID, _ change: AttributeChange, _ files: any FileOperations, _ client: ClientID) async {
        let call = history(inode).begin(client, .init(client, .change(AttributeValues(change))))
        guard let attributes = try? await files.setAttributes(inode, change, size: nil, handle: nil).attributes else { return }
        history(inode).end(call, .values(AttributeValues(attributes)))
    }

    package func sync(_ inode: InodeID, _ files: any FileOperations, _ client: ClientID) async {
        let call = history(inode).begin(client, .init(client, .sync))
        guard let handle = try? await files.open(inode, flags: O_RDONLY).handle else { return }
        let isDone = (try? await files.sync(inode, handle: handle, dataOnly: false)) != nil
        await files.release(inode, handle: handle)
        if isDone { history(inode).end(call, .done, provesSession: false) }
    }

    /// Values are numbers.
    package func setExtended(
        _ inode: InodeID, _ name: String, _ value: UInt64, _ mode: XattrMode, _ files: any FileOperations, _ client: ClientID
    ) async {
        let call = history(inode).begin(client, .init(client, .setExtended(name, value, mode)))
        do throws(Errno) {
            try await files.setXattr(inode, name: Array(name.utf8), value: Array(String(value).utf8), mode: mode, groups: nil)
            history(inode).end(call, .done)
        } catch { failed(inode, call, error) }
    }

    package func removeExtended(_ inode: InodeID, _ name: String, _ files: any FileOperations, _ client: ClientID) async {
        let call = history(inode).begin(client, .init(client, .removeExtended(name)))
        do throws(Errno) {
            try await files.removeXattr(inode, name: Array(name.utf8))
            history(inode).end(call, .done)
        } catch { failed(inode, call, error) }
    }

    package func extended(_ inode: InodeID, _ name: String, _ files: any FileOperations, _ client: ClientID) async {
        let call = history(inode).begin(client, .init(client, .extended(name)))
        do throws(Errno) {
            let bytes = try await files.xattr(inode, name: Array(name.utf8))
            // Something else than a number was never set: no state has it.
            history(inode).end(call, .value(UInt64(String(decoding: bytes, as: UTF8.self)) ?? .max))
        } catch { failed(inode, call, error) }
    }

    package func names(_ inode: InodeID, _ files: any FileOperations, _ client: ClientID) async {
        let call = history(inode).begin(client, .init(client, .names))
        do throws(Errno) {
            let names = try await files.xattrNames(inode).map { String(decoding: $0, as: UTF8.self) }
            history(inode).end(call, .names(names.sorted()))
        } catch { failed(inode, call, error) }
    }

    private func failed(_ inode: InodeID, _ call: Int, _ error: Errno) {
        history(inode).end(call, error.isUncertain ? nil : .failed(error.rawValue))
    }

    // MARK: The end

    package func readFinal(_ reader: FinalReader) async {
        for inode in histories.keys.sorted() {
            await show(inode, reader.files, reader.client)
            await names(inode, reader.files, reader.client)
        }
    }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        for inode in histories.keys.sorted() {
            guard let operations = histories[inode]?.operations else { continue }
            report.operations += operations.count
            report.open += operations.count { $0.outcome == nil }
            report.failed += operations.count { if case .failed = $0.outcome { true } else { false } }
            var judged = operations.filter { $0.outcome != nil || $0.call.action.changes }
            let clients = Set(operations.map(\.client))
            for loss in recorder.losses where loss.cause != .names && clients.contains(loss.client) && (loss.inode ?? inode) == inode {
                judged.append(
                    Operation(client: loss.client, call: .init(loss.client, .lose), outcome: nil, called: loss.from, returned: nil))
            }
            report.add(Linearizability.check(AttributeModel(), judged, bound: bound), .attributes, "\(area), inode \(inode)")
        }
        return report
    }
}

extension AttributeModel.Action {
    var changes: Bool {
        switch self {
        case .change, .setExtended, .removeExtended: true
        default: false
        }
    }
}
