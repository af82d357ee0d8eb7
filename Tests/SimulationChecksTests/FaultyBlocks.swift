import Blocks
import Bytes
import Digest
import Runtime
import TestSupport

/// Blocks with a fault to order.
@LoopActor
final class FaultyBlocks: BlockClient {
    enum Fault: String, CaseIterable {
        /// A put is acknowledged and the block not stored.
        case lost
        /// A byte of what is got is wrong.
        case wrongByte
        /// Another part than the one asked for.
        case wrongPart
        /// The key of something else.
        case wrongKey
    }

    private let blocks: any BlockClient
    private let random: SeededRandom
    var fault: Fault?

    init(_ blocks: any BlockClient, random: SeededRandom) {
        self.blocks = blocks
        self.random = random
    }

    private func strikes(_ fault: Fault) -> Bool { self.fault == fault && random.below(5) == 0 }

    func put(_ content: Slice) async throws(BlocksError) -> BlockKey {
        if strikes(.lost) { return content.withBytes { SHA256.key(of: $0) } }
        if strikes(.wrongKey) { return [0].withUnsafeBytes { SHA256.key(of: $0) } }
        return try await blocks.put(content)
    }

    func get(_ key: BlockKey, length: Int, offset: Int, count: Int) async throws(BlocksError) -> Slice {
        if offset > 0, strikes(.wrongPart) { return try await blocks.get(key, length: length, offset: offset - 1, count: count) }
        let part = try await blocks.get(key, length: length, offset: offset, count: count)
        guard strikes(.wrongByte), let first = part.array.first else { return part }
        return Slice(copying: [first ^ 1] + part.array.dropFirst())
    }
}
