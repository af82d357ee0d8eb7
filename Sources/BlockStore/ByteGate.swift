import Runtime

/// Bounds the bytes under way: who wants more waits its turn.
@LoopActor
final class ByteGate {
    private let bytesMax: Int
    private var bytes = 0
    private var waiting: [(count: Int, continuation: UnsafeContinuation<Void, Never>)] = []

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Returns when `count` bytes may go. More than the bound goes alone.
    func enter(_ count: Int) async {
        if waiting.isEmpty, bytes == 0 || bytes + count <= bytesMax {
            bytes += count
            return
        }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in waiting.append((count, continuation)) }
    }

    func leave(_ count: Int) {
        bytes -= count
        while let next = waiting.first, bytes == 0 || bytes + next.count <= bytesMax {
            waiting.removeFirst()
            bytes += next.count
            next.continuation.resume()
        }
    }
}
