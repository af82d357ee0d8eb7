package import OrderedStore
package import Runtime

/// Where the stores of the metadata state come from.
@LoopActor
package protocol StateStoreProvider: AnyObject, Sendable {
    /// Opens the store in use; makes an empty one if there is none.
    func open() async throws(StoreError) -> any OrderedStore
    /// Makes an empty store beside the one in use, in place of remains of an earlier one.
    func makeFresh() async throws(StoreError) -> any OrderedStore
    /// Puts `fresh`, which was flushed, in place of the one in use and removes that. After a crash `open` finds either the one or the other.
    func adopt(_ fresh: any OrderedStore) async throws(StoreError)
}
