import Glibc

extension ContentModel {
    package func describe(_ state: ContentState) -> String {
        guard let holder = state.holder, !state.pending.isEmpty else { return state.seen.description }
        return "\(state.seen), of which \(holder) may lose the last \(state.pending.count) changes"
    }

    package func describe(_ call: Call, _ outcome: ContentOutcome?) -> String {
        let text =
            switch call.call {
            case .write(.write(let start, let count, let tag), let handle, let isSynchronous):
                "write w\(tag) to \(start)..<\(start + count) by handle \(handle)\(isSynchronous ? ", synced" : "")"
            case .write(.append(let count, let tag), let handle, let isSynchronous):
                "append w\(tag), \(count) cells, by handle \(handle)\(isSynchronous ? ", synced" : "")"
            case .write(.truncate(let size), _, _): "truncate to \(size)"
            case .write(.clear(let start, let count), _, _): "punch \(start)..<\(start + count)"
            case .read(let start, let count): "read \(start)..<\(start + count)"
            case .size: "size"
            case .sync(let handle): "sync handle \(handle)"
            case .close(let handle, _): "close handle \(handle)"
            case .lose(let owes, _): "\(call.client) \(owes ? "loses its session or gives up changes" : "ends")"
            }
        switch outcome {
        case nil: return text
        case .done: return text + ": done"
        case .size(let size): return text + ": \(size)"
        case .failed(let error): return text + ": " + String(cString: strerror(error))
        case .read(let count, let runs): return text + ": \(count) cells \(CellMap.describe(runs))"
        }
    }
}
