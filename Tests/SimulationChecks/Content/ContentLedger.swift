package import Model
package import Runtime

/// The content of the files of one area, as all clients see it. Files are new in the run, and only these calls change them.
@LoopActor
package final class ContentLedger: Ledger {
    package typealias FileHistory = History<ContentModel.Call, ContentOutcome>

    package let area: String
    package let recorder: Recorder
    private var histories: [InodeID: FileHistory] = [:]
    /// Which file a write went to.
    private var tags: [UInt64: InodeID] = [:]
    /// When handles were opened.
    private var opened: [UInt64: Moment] = [:]

    package init(area: String, recorder: Recorder) {
        self.area = area
        self.recorder = recorder
    }

    package func history(_ inode: InodeID) -> FileHistory {
        if let known = histories[inode] { return known }
        let history = FileHistory(recorder)
        histories[inode] = history
        return history
    }

    package var files: [InodeID] { histories.keys.sorted() }

    func newTag(_ inode: InodeID) -> UInt64 {
        let tag = recorder.nextTag()
        tags[tag] = inode
        return tag
    }

    /// A number for a handle that no other handle of any client has.
    func newHandle() -> UInt64 {
        let handle = recorder.nextTag()
        opened[handle] = recorder.stamp()
        return handle
    }

    /// Whether the runs are of writes to this file.
    func areOf(_ inode: InodeID, _ runs: [CellMap.Run]) -> Bool { runs.allSatisfy { tags[$0.tag] == inode } }

    // MARK: The end

    package func readFinal(_ reader: FinalReader) async {
        let content = RecordedContent(reader.files, reader.client, self)
        for inode in files {
            guard let size = await content.size(inode) else { continue }
            guard let file = await content.open(inode, flags: 0) else { continue }
            _ = await content.read(file, start: 0, count: size + 16)
            await content.close(file)
        }
    }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        for inode in files {
            guard let history = histories[inode] else { continue }
            let subject = "\(area), inode \(inode)"
            let operations = history.operations
            report.operations += operations.count
            report.open += operations.count { $0.outcome == nil }
            report.failed += operations.count { if case .failed = $0.outcome { true } else { false } }
            checkAppends(operations, subject, &report)
            let judged = operations.filter { $0.outcome != nil || $0.call.call.changes }.map(withKnowledge) + losses(inode, operations)
            report.add(Linearizability.check(ContentModel(), judged, bound: bound), .content, subject)
        }
        return report
    }

    /// A close says what the client knows. It may not have noticed yet what the leader has done to its session.
    private func withKnowledge(_ operation: FileHistory.Event) -> FileHistory.Event {
        guard case .close(let handle, _) = operation.call.call, let returned = operation.returned else { return operation }
        let isBehind = recorder.losses.contains { $0.cause != .names && $0.client == operation.client && $0.from < returned && $0.noticed > operation.called }
        guard isBehind else { return operation }
        var changed = operation
        changed.call.call = .close(handle: handle, mustTell: false)
        return changed
    }

    /// Events after which changes may be gone, as operations that may take effect later or never.
    private func losses(_ inode: InodeID, _ operations: [FileHistory.Event]) -> [FileHistory.Event] {
        let writers = Set(operations.filter(\.call.call.changes).map(\.client))
        var found: [FileHistory.Event] = []
        for loss in recorder.losses where loss.cause != .names && writers.contains(loss.client) && (loss.inode ?? inode) == inode {
            let ends = loss.cause == .ended && operations.contains { $0.client == loss.client && $0.outcome == nil && $0.call.call.changes }
            let call = ContentCall.lose(owes: loss.cause != .ended, ends: ends)
            found.append(Operation(client: loss.client, call: .init(loss.client, call), outcome: nil, called: loss.from, returned: nil))
        }
        // A handle that is told of an error: since it last was told that all is well, changes may have been given up; or they will be.
        var well = opened
        for operation in operations {
            guard let handle = operation.call.call.told else { continue }
            switch operation.outcome {
            case .failed:
                let from = well[handle] ?? operation.called
                found.append(
                    Operation(
                        client: operation.client, call: .init(operation.client, .lose(owes: true, ends: false)), outcome: nil, called: from,
                        returned: nil))
                well[handle] = operation.called
            case .done: well[handle] = operation.called
            default: break
            }
        }
        return found
    }

    /// What can be said of appended runs without a search: no run twice, those of one client in the order of its calls.
    private func checkAppends(_ operations: [FileHistory.Event], _ subject: String, _ report: inout CheckReport) {
        var appends: [UInt64: (client: ClientID, called: Moment, returned: Moment?)] = [:]
        for operation in operations {
            if case .write(.append(_, let tag), _, _) = operation.call.call {
                appends[tag] = (operation.client, operation.called, operation.returned)
            }
        }
        guard !appends.isEmpty else { return }
        for operation in operations {
            guard case .read(_, let runs) = operation.outcome else { continue }
            var places: [UInt64: UInt32] = [:]
            var last: [ClientID: UInt64] = [:]
            for run in runs {
                guard let append = appends[run.tag] else { continue }
                if let place = places[run.tag], place != run.origin {
                    report.violations.append(
                        Violation(.duplicated, subject, "w\(run.tag) of \(append.client) is at \(place) and at \(run.origin) (\(operation.called))"))
                    return
                }
                places[run.tag] = run.origin
                // Calls that overlapped may be in any order.
                if let before = last[append.client], let other = appends[before], let returned = append.returned, returned < other.called {
                    report.violations.append(
                        Violation(.disordered, subject, "w\(before) of \(append.client) is before its w\(run.tag) (\(operation.called))"))
                    return
                }
                last[append.client] = run.tag
            }
        }
    }
}

extension History {
    package typealias Event = Operation<Call, Outcome>
}

extension ContentCall {
    /// Whether it changes content.
    var changes: Bool { if case .write = self { true } else { false } }

    /// The handle that it tells errors.
    var told: UInt64? {
        switch self {
        case .sync(let handle), .close(let handle, _): handle
        default: nil
        }
    }
}
