import Runtime

/// Bounds how much of one kind of work is under way. First come, first served.
@LoopActor
final class Slots {
    private var free: Int
    private var waiters: [UnsafeContinuation<Void, Never>] = []
    private var head = 0

    init(count: Int) { free = count }

    func take() async {
        if free > 0 {
            free -= 1
            return
        }
        await withUnsafeContinuation { waiters.append($0) }
    }

    func give() {
        guard head < waiters.count else {
            free += 1
            return
        }
        let next = waiters[head]
        head += 1
        if head > 64, head * 2 > waiters.count {
            waiters.removeFirst(head)
            head = 0
        }
        next.resume()
    }

    var isExhausted: Bool { free == 0 }
}
