/// The pending timers of a clock, earliest first; those of one time in the order in which they were scheduled.
///
/// A binary heap whose entries know their place, so that taking one back (what happens to nearly every request's time limit)
/// frees it at once.
@LoopActor
package final class TimerHeap {
    /// One scheduled call.
    package final class Entry: TimerHandle {
        package let deadline: UInt64
        fileprivate let sequence: UInt64
        fileprivate var body: (@LoopActor () -> Void)?
        fileprivate var index = -1
        fileprivate weak var heap: TimerHeap?

        fileprivate init(deadline: UInt64, sequence: UInt64, body: @escaping @LoopActor () -> Void) {
            self.deadline = deadline
            self.sequence = sequence
            self.body = body
        }

        package func cancel() {
            body = nil
            heap?.remove(self)
        }

        fileprivate func isBefore(_ other: Entry) -> Bool {
            deadline != other.deadline ? deadline < other.deadline : sequence < other.sequence
        }
    }

    private var entries: ContiguousArray<Entry> = []
    private var nextSequence: UInt64 = 0

    package init() {}

    /// When the earliest is due; nil if there is none.
    package var earliest: UInt64? { entries.first?.deadline }

    package func insert(deadline: UInt64, _ body: @escaping @LoopActor () -> Void) -> Entry {
        let entry = Entry(deadline: deadline, sequence: nextSequence, body: body)
        nextSequence += 1
        entry.heap = self
        entry.index = entries.count
        entries.append(entry)
        siftUp(entry.index)
        return entry
    }

    /// Takes out the earliest entry if it is due at `now` and returns its call.
    package func takeDue(at now: UInt64) -> (@LoopActor () -> Void)? {
        while let first = entries.first, first.deadline <= now {
            remove(first)
            if let body = first.body {
                first.body = nil
                return body
            }
        }
        return nil
    }

    private func remove(_ entry: Entry) {
        let index = entry.index
        guard index >= 0 else { return }
        entry.index = -1
        entry.heap = nil
        let last = entries.removeLast()
        if last === entry { return }
        entries[index] = last
        last.index = index
        siftUp(index)
        siftDown(last.index)
    }

    private func siftUp(_ start: Int) {
        var index = start
        let entry = entries[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry.isBefore(entries[parent]) else { break }
            entries[index] = entries[parent]
            entries[index].index = index
            index = parent
        }
        entries[index] = entry
        entry.index = index
    }

    private func siftDown(_ start: Int) {
        var index = start
        let entry = entries[index]
        while true {
            var child = 2 * index + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].isBefore(entries[child]) { child += 1 }
            guard entries[child].isBefore(entry) else { break }
            entries[index] = entries[child]
            entries[index].index = index
            index = child
        }
        entries[index] = entry
        entry.index = index
    }
}
