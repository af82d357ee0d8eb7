package import Bytes
package import Digest
import Journal
import OrderedStore
import Runtime
import Telemetry

/// How much of a block is proven when it is read.
package enum BlockVerification: Sendable {
    /// The checksums of the pages that are touched.
    case pages
    /// The whole block against its key.
    case key
}

extension BlockStore {
    /// Reads `count` bytes from `offset` of a block.
    /// - Throws: `.notFound`; `.corrupt` if the copy is damaged, which then is quarantined; `.invalid` if the range is outside the
    ///   block; `.failed` if the disk cannot read it: then the copy stays, as it may be the disk and not the block.
    package func get(
        _ key: BlockKey, offset: Int, count: Int, verify: BlockVerification = .pages
    ) async throws(BlockStoreError) -> Slice {
        var last: JournalPosition?
        while true {
            guard let row = try row(key) else { throw BlockStoreError(.notFound, "no block \(key)") }
            if row.isBad { throw BlockStoreError(.corrupt, "block \(key) is quarantined") }
            guard offset >= 0, count >= 0, offset <= row.length, count <= row.length - offset else {
                throw BlockStoreError(.invalid, "\(count) bytes from \(offset) of a block of \(row.length) bytes")
            }
            guard row.position != last else { throw BlockStoreError(.failed, "block \(key) cannot be read") }
            last = row.position
            do throws(JournalError) {
                return try await read(key, row, offset: offset, count: count, verify: verify)
            } catch {
                // Compaction may have moved the record since the row was looked up.
                guard try self.row(key) == row else { continue }
                guard error.code != .failed else { throw BlockStoreError(error) }
                log.error("quarantining a damaged block", ["key": key.description, "cause": error.cause])
                do throws(StoreError) { try index.quarantine(key, row) } catch { throw BlockStoreError(error) }
                throw BlockStoreError(.corrupt, "block \(key): \(error.cause)")
            }
        }
    }

    /// Where the content of a block lies in a segment's file; nil if it is compressed, quarantined or not there. True only until the segment is compacted.
    package func place(of key: BlockKey) throws(BlockStoreError) -> (path: String, offset: UInt64, length: Int)? {
        guard let row = try row(key), !row.isBad, !row.isCompressed,
            let place = journal.payloadPlace(at: row.position, headerCount: BlockHeader.count, payloadCount: row.storedCount)
        else { return nil }
        return (place.path, place.offset, row.length)
    }

    /// Reads a whole block.
    package func get(_ key: BlockKey, verify: BlockVerification = .pages) async throws(BlockStoreError) -> Slice {
        guard let row = try row(key) else { throw BlockStoreError(.notFound, "no block \(key)") }
        return try await get(key, offset: 0, count: row.length, verify: verify)
    }

    /// Reads the whole block and compares it with its key.
    /// - Throws: as `get`.
    package func check(_ key: BlockKey) async throws(BlockStoreError) { _ = try await get(key, verify: .key) }

    private func read(
        _ key: BlockKey, _ row: BlockRow, offset: Int, count: Int, verify: BlockVerification
    ) async throws(JournalError) -> Slice {
        // The lengths come from the index; the record's own must agree before anything is believed.
        guard row.storedCount <= options.blockBytesMax, row.length <= options.blockBytesMax, row.isCompressed || row.storedCount == row.length
        else { throw damaged(row, "the lengths in the index are impossible") }
        let isWhole = row.isCompressed || verify == .key
        let (rawHeader, stored) = try await journal.read(
            at: row.position, headerCount: BlockHeader.count, payloadCount: row.storedCount,
            range: isWhole ? 0..<row.storedCount : offset..<offset + count)
        guard BlockHeader(rawHeader) == BlockHeader(key: key, length: row.length, isCompressed: row.isCompressed) else {
            throw damaged(row, "the record is of another block")
        }
        guard isWhole else { return stored }
        let codec = codec
        let content = await environment.workers.run { () -> Slice? in
            guard let content = row.isCompressed ? codec.decompress(stored, length: row.length) : stored else { return nil }
            return verify == .key && SHA256.key(of: content) != key ? nil : content
        }
        guard let content, let part = content.part(offset: offset, count: count) else {
            throw damaged(row, "the content does not have the key")
        }
        return part
    }

    private func damaged(_ row: BlockRow, _ what: String) -> JournalError {
        JournalError(
            .corrupt(segment: row.position.segment, offset: row.position.offset),
            "segment \(row.position.segment) at \(row.position.offset): \(what)")
    }
}
