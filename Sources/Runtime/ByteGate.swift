/// Bounds how many bytes are under way. Whoever would go over the bound waits, first come first served.
@LoopActor
package final class ByteGate {
    private struct Waiter {
        var count: Int
        var continuation: UnsafeContinuation<Void, Never>
    }

    private let limit: Int
    package private(set) var used = 0
    private var waiters: [Waiter] = []
    /// Waiters before this index have gone through.
    private var first = 0

    package init(limit: Int) { self.limit = limit }

    /// Returns when `count` bytes fit. More than the limit goes through alone.
    package func acquire(_ count: Int) async {
        if first == waiters.count, fits(count) {
            used += count
            return
        }
        await withUnsafeContinuation { waiters.append(Waiter(count: count, continuation: $0)) }
    }

    package func release(_ count: Int) {
        used -= count
        while first < waiters.count, fits(waiters[first].count) {
            let waiter = waiters[first]
            first += 1
            used += waiter.count
            waiter.continuation.resume()
        }
        if first == waiters.count || first > 1024 {
            waiters.removeFirst(first)
            first = 0
        }
    }

    private func fits(_ count: Int) -> Bool { used == 0 || used + count <= limit }
}
