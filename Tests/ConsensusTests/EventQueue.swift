/// A binary heap of things to happen, in order of time and then of insertion.
struct EventQueue<Element> {
    private var heap: [(time: UInt64, sequence: UInt64, element: Element)] = []
    private var sequence: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }

    private func before(_ left: Int, _ right: Int) -> Bool {
        heap[left].time != heap[right].time ? heap[left].time < heap[right].time : heap[left].sequence < heap[right].sequence
    }

    mutating func push(_ element: Element, at time: UInt64) {
        heap.append((time, sequence, element))
        sequence += 1
        var child = heap.count - 1
        while child > 0, before(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> (time: UInt64, element: Element)? {
        guard !heap.isEmpty else { return nil }
        heap.swapAt(0, heap.count - 1)
        let first = heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && before(child, least) { least = child }
            if least == parent { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return (first.time, first.element)
    }
}
