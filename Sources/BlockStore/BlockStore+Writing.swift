package import Bytes
package import Digest
import Journal
import Model
import OrderedStore
import Runtime

extension BlockStore {
    /// Stores a block and returns when it is durable; at once if it is here already. The content must not change until this returns.
    /// - Throws: `.mismatch` if the content does not have this key; `.noSpace`, after which a later put may succeed; `.failed`.
    package func put(_ key: BlockKey, _ content: Slice) async throws(BlockStoreError) {
        guard !content.isEmpty, content.count <= options.blockBytesMax else {
            throw BlockStoreError(.invalid, "a block of \(content.count) bytes is not 1 … \(options.blockBytesMax)")
        }
        while true {
            if let failure { throw failure }
            // A row whose delete is on its way into the journal does not count: this put's record comes behind it.
            if deleting[key] == nil, let row = try row(key), !row.isBad { return }
            guard let flight = flights[key] else { break }
            let result = await flight.wait()
            // What another caller sent under this key says nothing about ours.
            if case .failure(let error) = result, error.code == .mismatch { continue }
            return try result.get()
        }
        let flight = PutFlight()
        flights[key] = flight
        let result = await store(key, content)
        if flights[key] === flight { flights[key] = nil }
        flight.finish(result)
        try result.get()
    }

    private func store(_ key: BlockKey, _ content: Slice) async -> Result<Void, BlockStoreError> {
        await gate.acquire(content.count)
        defer { gate.release(content.count) }
        let codec = codec
        guard let prepared = await environment.workers.run({ codec.prepare(key, content) }) else {
            mismatches += 1
            return .failure(BlockStoreError(.mismatch, "content of \(content.count) bytes does not have the key \(key)"))
        }
        if let failure { return .failure(failure) }
        if let error = await append(prepared, urgent: false) {
            if error.code == .noSpace { compactIfWorthIt() }
            return .failure(BlockStoreError(error))
        }
        if let failure { return .failure(failure) }
        return .success(())
    }

    /// Writes the record and then the row. The call enters the journal's queue before it suspends.
    func append(_ block: BlockCodec.Prepared, urgent: Bool) async -> JournalError? {
        let key = block.header.key
        putting[key, default: 0] += 1
        defer { Self.countDown(key, in: &putting) }
        #if CANARIES
            let sync = !Canary.skipsBlockSync.isActive
        #else
            let sync = true
        #endif
        do throws(JournalError) {
            try await journal.append(
                type: BlockHeader.recordType, header: block.header.encoded, payload: block.payload, sync: sync, urgent: urgent
            ) { appended in
                let row = BlockRow(position: appended.position, storedCount: block.payload.bytes.count, header: block.header)
                self.changeIndex { () throws(StoreError) in try self.index.put(key, row, next: appended.next) }
            }
            return nil
        } catch {
            return error
        }
    }

    /// Deletes blocks and returns when that is durable. Fine for keys that are not here. A put of the same key that is under way at the same time may win or lose.
    package func delete(_ keys: [BlockKey]) async throws(BlockStoreError) {
        var rest = keys[...]
        while !rest.isEmpty {
            if let failure { throw failure }
            let part = rest.prefix(Tombstone.keysMax)
            rest = rest.dropFirst(part.count)
            var present: [BlockKey] = []
            for key in part {
                if putting[key] == nil, try row(key) == nil { continue }
                present.append(key)
                // Later puts must not join one whose record lies before the delete.
                flights[key] = nil
            }
            if !present.isEmpty, let error = await append(deleting: present) { throw BlockStoreError(error) }
            if let failure { throw failure }
        }
        compactIfWorthIt()
    }

    /// Writes the record and then removes the rows. The call enters the journal's queue before it suspends.
    func append(deleting keys: [BlockKey]) async -> JournalError? {
        for key in keys { deleting[key, default: 0] += 1 }
        defer { for key in keys { Self.countDown(key, in: &deleting) } }
        do throws(JournalError) {
            try await journal.append(type: Tombstone.recordType, header: Tombstone.encode(keys), urgent: true) { appended in
                self.changeIndex { () throws(StoreError) in
                    try self.index.delete(keys, at: appended.position, length: appended.length, next: appended.next)
                }
            }
            return nil
        } catch {
            return error
        }
    }

    private static func countDown(_ key: BlockKey, in counts: inout [BlockKey: Int]) {
        let left = (counts[key] ?? 1) - 1
        counts[key] = left > 0 ? left : nil
    }
}
