/// A call on a file's content; places and counts in cells.
package enum ContentCall: Equatable, Sendable {
    /// `isSynchronous`: O_SYNC.
    case write(ContentChange, handle: UInt64, isSynchronous: Bool)
    case read(start: UInt32, count: UInt32)
    case size
    /// fsync(2) or an fdatasync(2).
    case sync(handle: UInt64)
    /// flush, at close(2): only tells errors. `mustTell`: the client knows what there is to tell; a sync finds it out.
    case close(handle: UInt64, mustTell: Bool)
    /// No call: what the client had not synced may be gone from here on. `owes`: its handles tell. `ends`: its open calls take no effect
    /// any more.
    case lose(owes: Bool, ends: Bool)
}

/// A change of content that a client makes and that is lost, if at all, after all that came before it.
package enum ContentChange: Hashable, Sendable {
    case write(start: UInt32, count: UInt32, tag: UInt64)
    case append(count: UInt32, tag: UInt64)
    case truncate(UInt32)
    case clear(start: UInt32, count: UInt32)

    package func apply(to map: inout CellMap) {
        switch self {
        case .write(let start, let count, let tag): map.write(CellMap.Run(start: start, end: start + count, tag: tag, origin: 0))
        case .append(let count, let tag):
            let start = map.size
            map.write(CellMap.Run(start: start, end: start + count, tag: tag, origin: start))
        case .truncate(let size): map.truncate(to: size)
        case .clear(let start, let count): map.clear(start..<min(start + count, max(start, map.size)))
        }
    }
}

/// What a call on content returned.
package enum ContentOutcome: Equatable, Sendable {
    case done
    case read(count: UInt32, runs: [CellMap.Run])
    case size(UInt32)
    /// An error of sync or close.
    case failed(Int32)
}
