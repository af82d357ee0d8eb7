package import BlockStore
package import Bytes
package import Digest
package import Runtime

/// A `BlockStore` as the local blocks of a `BlockService`.
@LoopActor
package final class StoreBlocks: LocalBlocks {
    private let store: BlockStore

    package init(_ store: BlockStore) { self.store = store }

    package func put(_ key: BlockKey, _ content: Slice) async throws(BlockFailure) {
        do throws(BlockStoreError) { try await store.put(key, content) } catch { throw Self.failure(error) }
    }

    package func get(_ key: BlockKey, range: Range<Int>?) async throws(BlockFailure) -> Slice {
        do throws(BlockStoreError) {
            guard let range else { return try await store.get(key) }
            return try await store.get(key, offset: range.lowerBound, count: range.count)
        } catch {
            throw Self.failure(error)
        }
    }

    package func length(of key: BlockKey) async throws(BlockFailure) -> Int? {
        do throws(BlockStoreError) { return try store.length(of: key) } catch { throw Self.failure(error) }
    }

    package func place(of key: BlockKey) async throws(BlockFailure) -> BlockPlaceReply? {
        do throws(BlockStoreError) {
            guard let place = try store.place(of: key) else { return nil }
            return BlockPlaceReply(path: place.path, offset: place.offset, length: UInt32(place.length))
        } catch {
            throw Self.failure(error)
        }
    }

    package func list(after: BlockKey?, limit: Int) async throws(BlockFailure) -> [StoredBlock] {
        do throws(BlockStoreError) {
            return try store.list(after: after, limit: limit).map {
                StoredBlock(key: $0.key, length: UInt32(clamping: $0.length), isBad: $0.isBad)
            }
        } catch {
            throw Self.failure(error)
        }
    }

    package func check(_ key: BlockKey) async throws(BlockFailure) -> BlockCondition {
        do throws(BlockStoreError) {
            try await store.check(key)
            return .good
        } catch {
            switch error.code {
            case .notFound: return .missing
            case .corrupt: return .corrupt
            default: throw Self.failure(error)
            }
        }
    }

    package func quarantine(_ key: BlockKey) async throws(BlockFailure) {
        do throws(BlockStoreError) { try store.quarantine(key) } catch { throw Self.failure(error) }
    }

    package func delete(_ keys: [BlockKey]) async throws(BlockFailure) {
        do throws(BlockStoreError) { try await store.delete(keys) } catch { throw Self.failure(error) }
    }

    private static func failure(_ error: BlockStoreError) -> BlockFailure {
        let code: BlockFailure.Code =
            switch error.code {
            case .notFound: .missing
            case .corrupt: .corrupt
            case .mismatch: .mismatch
            case .noSpace: .noSpace
            case .invalid: .invalid
            case .failed, .foreign: .failed
            }
        return BlockFailure(code, error.cause)
    }
}
