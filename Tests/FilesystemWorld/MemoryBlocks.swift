package import Blocks
package import Bytes
package import Digest
package import Runtime
package import TestSupport

/// Blocks in this process, with faults to order.
@LoopActor
package final class MemoryBlocks: BlockClient {
    package private(set) var stored: [BlockKey: Slice] = [:]
    package private(set) var puts = 0
    package private(set) var gets = 0
    package private(set) var bytesGot = 0
    /// While set, every put fails with it.
    package var putFailure: BlocksError.Code?
    package var getFailure: BlocksError.Code?
    /// Puts wait here while set.
    package var gate: Gate?
    /// Likewise gets.
    package var getGate: Gate?
    private let random: SeededRandom
    package var isJittery = false
    package private(set) var putsAtOnceMax = 0
    private var putsAtOnce = 0

    package init(random: SeededRandom) { self.random = random }

    package func put(_ content: Slice) async throws(BlocksError) -> BlockKey {
        putsAtOnce += 1
        putsAtOnceMax = max(putsAtOnceMax, putsAtOnce)
        defer { putsAtOnce -= 1 }
        await gate?.pass()
        if isJittery { for _ in 0..<random.below(6) { await Task.yield() } }
        if let putFailure { throw BlocksError(putFailure, "ordered by the test") }
        puts += 1
        let copy = Slice(copying: content.array)
        let key = copy.withBytes { SHA256.key(of: $0) }
        stored[key] = copy
        return key
    }

    package func get(_ key: BlockKey, length: Int, offset: Int, count: Int) async throws(BlocksError) -> Slice {
        await getGate?.pass()
        if isJittery { for _ in 0..<random.below(6) { await Task.yield() } }
        if let getFailure { throw BlocksError(getFailure, "ordered by the test") }
        gets += 1
        guard let content = stored[key] else { throw BlocksError(.lost, "no block \(key)") }
        guard content.count == length, let part = content.part(offset: offset, count: count) else { throw BlocksError(.invalid, "range") }
        bytesGot += count
        return part
    }

    package func remove(_ key: BlockKey) { stored[key] = nil }
    package func removeAll() { stored = [:] }
}

/// Holds up whoever comes until it is opened.
@LoopActor
package final class Gate {
    private var isOpen = false
    private var waiters: [UnsafeContinuation<Void, Never>] = []

    package init() {}

    package func pass() async {
        if isOpen { return }
        await withUnsafeContinuation { waiters.append($0) }
    }

    package var waiting: Int { waiters.count }

    package func open() {
        isOpen = true
        for waiter in waiters { waiter.resume() }
        waiters = []
    }
}
