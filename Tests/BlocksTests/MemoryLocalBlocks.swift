import Blocks
import Bytes
import Digest
import Runtime

/// The blocks of one daemon, in memory, with copies that rot and disks that fill up.
@LoopActor
final class MemoryLocalBlocks: LocalBlocks {
    var blocks: [BlockKey: [UInt8]] = [:]
    /// Content that does not match its key although the pages' checksums do.
    var lying: [BlockKey: [UInt8]] = [:]
    /// Copies whose checksums do not match.
    var rotten: Set<BlockKey> = []
    var quarantined: [BlockKey] = []
    var isFull = false
    var isBroken = false
    /// Where the content of puts lay in memory.
    var putAddresses: [UnsafeRawPointer?] = []

    func put(_ key: BlockKey, _ content: Slice) async throws(BlockFailure) {
        await Task.yield()
        if isBroken { throw BlockFailure(.failed, "the disk is broken") }
        content.withBytes { putAddresses.append($0.baseAddress) }
        guard SHA256.key(of: content) == key else { throw BlockFailure(.mismatch, "not what the key says") }
        if blocks[key] != nil { return }
        if isFull { throw BlockFailure(.noSpace, "the disk is full") }
        blocks[key] = content.array
    }

    func get(_ key: BlockKey, range: Range<Int>?) async throws(BlockFailure) -> Slice {
        await Task.yield()
        if isBroken { throw BlockFailure(.failed, "the disk is broken") }
        guard let bytes = lying[key] ?? blocks[key] else { throw BlockFailure(.missing, "no block \(key)") }
        if rotten.contains(key) {
            try await quarantine(key)
            throw BlockFailure(.corrupt, "checksum of a page")
        }
        let range = range ?? 0..<bytes.count
        guard range.upperBound <= bytes.count else { throw BlockFailure(.invalid, "range") }
        return Slice(copying: bytes[range])
    }

    func length(of key: BlockKey) async throws(BlockFailure) -> Int? { blocks[key]?.count }

    func place(of key: BlockKey) async throws(BlockFailure) -> BlockPlaceReply? { nil }

    func list(after: BlockKey?, limit: Int) async throws(BlockFailure) -> [StoredBlock] {
        blocks.keys.sorted().filter { key in after.map { key > $0 } ?? true }.prefix(limit)
            .map { StoredBlock(key: $0, length: UInt32(blocks[$0]?.count ?? 0), isBad: rotten.contains($0)) }
    }

    func check(_ key: BlockKey) async throws(BlockFailure) -> BlockCondition {
        if isBroken { throw BlockFailure(.failed, "the disk is broken") }
        if blocks[key] == nil { return .missing }
        return rotten.contains(key) || lying[key] != nil ? .corrupt : .good
    }

    func quarantine(_ key: BlockKey) async throws(BlockFailure) {
        quarantined.append(key)
        blocks[key] = nil
        lying[key] = nil
        rotten.remove(key)
    }

    func delete(_ keys: [BlockKey]) async throws(BlockFailure) {
        for key in keys { blocks[key] = nil }
    }
}
