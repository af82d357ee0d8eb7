@testable import Consensus

/// What one server's disk holds, and what is on the way to it. Writes reach it in order; a crash loses any number of the last of them.
struct SimulatedDisk {
    struct Pending {
        var token: UInt64
        var hardState: HardState?
        var entries: [Entry]
    }

    var hardState = HardState(term: 0, vote: nil)
    var snapshot: SnapshotMark
    private(set) var entries: [Entry] = []
    private(set) var pending: [Pending] = []

    var lastIndex: LogIndex { entries.last?.index ?? snapshot.index }

    init(snapshot: SnapshotMark) { self.snapshot = snapshot }

    mutating func begin(_ write: Pending) { pending.append(write) }

    /// The write `token` and all before it are synced.
    mutating func sync(token: UInt64) {
        while let first = pending.first, first.token <= token {
            store(first)
            pending.removeFirst()
        }
    }

    /// Of the writes that were not synced, the first `surviving` happen to be there.
    mutating func crash(surviving: Int) {
        for write in pending.prefix(surviving) { store(write) }
        pending = []
    }

    private mutating func store(_ write: Pending) {
        if let hardState = write.hardState { self.hardState = hardState }
        guard let first = write.entries.first else { return }
        while let last = entries.last, last.index >= first.index { entries.removeLast() }
        entries += write.entries
    }

    mutating func compact(to mark: SnapshotMark) {
        snapshot = mark
        entries.removeAll { $0.index <= mark.index }
    }

    /// Whether this entry, or a snapshot that contains it, is durable.
    func holds(_ entry: Entry) -> Bool {
        if entry.index <= snapshot.index { return true }
        return entries.last { $0.index == entry.index }?.term == entry.term
    }

    var restored: Restored { Restored(hardState: hardState, snapshot: snapshot, entries: entries) }
}
