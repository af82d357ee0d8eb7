import Synchronization

/// How many bytes of memory dirty blocks take. Counted down where a block is freed, which no code can forget.
final class DirtyMeter: Sendable {
    private let count = Atomic<Int>(0)

    var bytes: Int { count.load(ordering: .relaxed) }
    func add(_ bytes: Int) { count.add(bytes, ordering: .relaxed) }
    func subtract(_ bytes: Int) { count.subtract(bytes, ordering: .relaxed) }
}
