/// The entries after the snapshot, in memory, with the configurations that are in force along the way.
///
/// Dropping a prefix frees its payloads and moves a head offset; the array is shifted only when more than half of it is dead, so
/// compaction costs O(1) per entry. Changes of term are kept as runs, so that finding the last entry of a term or an earlier one is a
/// binary search over the terms and not over the entries.
struct RaftLog: Sendable {
    /// The first entry of a stretch of one term.
    private struct Run: Sendable {
        var first: LogIndex
        var term: Term
    }

    /// A configuration and the entry that brought it.
    struct Change: Sendable {
        var index: LogIndex
        var configuration: Configuration
    }

    /// The last entry that is gone, and the configuration as of it.
    private(set) var base: SnapshotMark
    private var slots: [Entry] = []
    /// Dead slots at the front.
    private var head = 0
    private var runs: [Run] = []
    /// The configuration entries after the base, ascending.
    private(set) var changes: [Change] = []

    init(base: SnapshotMark) { self.base = base }

    var lastIndex: LogIndex { base.index + UInt64(slots.count - head) }
    var lastTerm: Term { slots.count > head ? slots[slots.count - 1].term : base.term }
    /// The configuration in force: the last in the log, committed or not (§6).
    var configuration: Configuration { changes.last?.configuration ?? base.configuration }
    /// The entry that brought it; the base's index if it is gone.
    var configurationIndex: LogIndex { changes.last?.index ?? base.index }

    private func slot(_ index: LogIndex) -> Int { head + Int(index - base.index) - 1 }

    /// The term of an entry; nil if the entry is gone or not there yet.
    func term(at index: LogIndex) -> Term? {
        if index == base.index { return base.term }
        guard index > base.index, index <= lastIndex else { return nil }
        return slots[slot(index)].term
    }

    /// The mark of a snapshot that contains everything up to `index`; nil if the entry is not there.
    func mark(at index: LogIndex) -> SnapshotMark? {
        guard let term = term(at: index) else { return nil }
        let change = changes.last { $0.index <= index }
        return SnapshotMark(index: index, term: term, configuration: change?.configuration ?? base.configuration)
    }

    /// The entries in `range`, all of which must be there.
    func entries(_ range: ClosedRange<LogIndex>) -> [Entry] { Array(slots[slot(range.lowerBound)...slot(range.upperBound)]) }

    /// The entries from `index` on that fit in one message: at least one, if there is one.
    func batch(from index: LogIndex) -> (entries: [Entry], bytes: Int) {
        guard index > base.index, index <= lastIndex else { return ([], 0) }
        let start = slot(index)
        var end = start
        var bytes = 0
        while end < slots.count, end - start < Limits.batchEntries {
            let size = slots[end].size
            if end > start, bytes + size > Limits.batchBytes { break }
            bytes += size
            end += 1
        }
        return (Array(slots[start..<end]), bytes)
    }

    /// The last entry up to `index` whose term is not above `term`; the base if there is none after it.
    func last(upTo index: LogIndex, termUpTo term: Term) -> LogIndex {
        var end = min(index, lastIndex)
        // Runs before `low` begin in a term that is not above `term`.
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].term <= term { low = middle + 1 } else { high = middle }
        }
        if low < runs.count { end = min(end, runs[low].first - 1) }
        return max(end, base.index)
    }

    /// Appends the entry that follows the last one.
    mutating func append(_ entry: Entry) {
        precondition(entry.index == lastIndex + 1, "an entry must follow the last one")
        if entry.term != lastTerm || runs.isEmpty { runs.append(Run(first: entry.index, term: entry.term)) }
        if case .configuration(let configuration) = entry.payload { changes.append(Change(index: entry.index, configuration: configuration)) }
        slots.append(entry)
    }

    /// Takes back the entries from `index` on, which must be after the base.
    mutating func truncate(from index: LogIndex) {
        guard index <= lastIndex else { return }
        slots.removeSubrange(slot(index)...)
        while let run = runs.last, run.first >= index { runs.removeLast() }
        while let change = changes.last, change.index >= index { changes.removeLast() }
    }

    /// Drops the entries up to `index`, which must be there.
    mutating func compact(to index: LogIndex) {
        guard index > base.index, let mark = mark(at: index) else { return }
        let end = slot(index) + 1
        for dead in head..<end { slots[dead].payload = .empty }
        head = end
        if head > slots.count / 2 {
            slots.removeFirst(head)
            head = 0
        }
        drop(to: mark)
    }

    /// Takes a snapshot's place. The entries after it stay if it is a prefix of the log; otherwise none does (§7).
    ///
    /// - Returns: whether the entries after it stayed.
    mutating func install(_ mark: SnapshotMark) -> Bool {
        if term(at: mark.index) == mark.term {
            compact(to: mark.index)
            base.configuration = mark.configuration
            return true
        }
        self = RaftLog(base: mark)
        return false
    }

    private mutating func drop(to mark: SnapshotMark) {
        base = mark
        changes.removeAll { $0.index <= mark.index }
        // The run in which the base lies goes on for the entries after it.
        let dead = runs.lastIndex { $0.first <= mark.index + 1 } ?? 0
        runs.removeFirst(dead)
        if let first = runs.first, first.first <= mark.index { runs[0].first = mark.index + 1 }
        if lastIndex == base.index { runs.removeAll() }
    }
}

extension Entry {
    /// Bytes that it takes in a message, about.
    var size: Int {
        switch payload {
        case .empty: 17
        case .data(let data): 21 + data.count
        case .configuration(let configuration): 25 + 8 * (configuration.voters.count + configuration.learners.count)
        }
    }
}
