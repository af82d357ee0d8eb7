import Blocks
import Bytes
import Digest
import Runtime
import TestSupport

/// Blocks in this process, with faults to order.
@LoopActor
final class MemoryBlocks: BlockClient {
    private(set) var stored: [BlockKey: Slice] = [:]
    private(set) var puts = 0
    private(set) var gets = 0
    private(set) var bytesGot = 0
    /// While set, every put fails with it.
    var putFailure: BlocksError.Code?
    var getFailure: BlocksError.Code?
    /// Puts wait here while set.
    var gate: Gate?
    private let random: SeededRandom
    var isJittery = false
    private(set) var putsAtOnceMax = 0
    private var putsAtOnce = 0

    init(random: SeededRandom) { self.random = random }

    func put(_ content: Slice) async throws(BlocksError) -> BlockKey {
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

    func get(_ key: BlockKey, length: Int, offset: Int, count: Int) async throws(BlocksError) -> Slice {
        if isJittery { for _ in 0..<random.below(6) { await Task.yield() } }
        if let getFailure { throw BlocksError(getFailure, "ordered by the test") }
        gets += 1
        guard let content = stored[key] else { throw BlocksError(.lost, "no block \(key)") }
        guard content.count == length, let part = content.part(offset: offset, count: count) else { throw BlocksError(.invalid, "range") }
        bytesGot += count
        return part
    }

    func remove(_ key: BlockKey) { stored[key] = nil }
    func removeAll() { stored = [:] }
}

/// Holds up whoever comes until it is opened.
@LoopActor
final class Gate {
    private var isOpen = false
    private var waiters: [UnsafeContinuation<Void, Never>] = []

    func pass() async {
        if isOpen { return }
        await withUnsafeContinuation { waiters.append($0) }
    }

    var waiting: Int { waiters.count }

    func open() {
        isOpen = true
        for waiter in waiters { waiter.resume() }
        waiters = []
    }
}
