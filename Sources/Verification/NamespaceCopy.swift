package import Metadata
package import OrderedStore
package import Runtime

/// Copies the namespace's rows from the metadata leader, page by page from one snapshot: the rows that a `Checker` wants.
@LoopActor
package final class NamespaceCopy: Sendable {
    private let client: LeaderMetadataClient

    /// - Parameter client: needs no session.
    package init(_ client: LeaderMetadataClient) { self.client = client }

    package func copy(_ progress: @LoopActor (UInt64) -> Void) async throws(VerificationError) -> (store: MemoryStore, appliedIndex: UInt64) {
        let store = MemoryStore()
        var last: ScanPage?
        var count: UInt64 = 0
        repeat {
            let page: ScanPage
            do throws(MetadataError) { page = try await client.scan(after: last) } catch { throw VerificationError(.unavailable, error.cause) }
            var batch = WriteBatch()
            for row in page.rows { batch.put(row.key, row.value) }
            store.write(batch)
            count += UInt64(page.rows.count)
            progress(count)
            last = page
        } while last?.handle != 0
        return (store, last?.appliedIndex ?? 0)
    }
}
